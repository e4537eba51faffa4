"""What the control room says when something of its own breaks."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import text

from flows.control_room import desk
from infra.audit_log import FAILED, AuditLog
from infra.console.app import create_app
from infra.console.desk import Desk
from infra.settings import Settings
from tests.infra.console.reading import Page, agree, load_settled, open_incident
from tests.infra.gateway_home import TOKEN, Home, serve


def broken(*_: object) -> str:
    raise RuntimeError("a mistake in the code with a secret in it")


@pytest.fixture
def breaking(home: Home, settings: Settings) -> Iterator[httpx.Client]:
    """A control room whose upper layer fails as only a mistake in the code does."""
    given: Desk = replace(desk(settings, home.database), acknowledge=broken, terms=broken)  # type: ignore[arg-type]
    app = create_app(settings, home.database, given)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False, headers={"origin": url}) as made:
        made.post("/sign-in", data={"token": TOKEN})
        yield made


def test_a_mistake_of_its_own_is_no_blank_page_and_tells_no_secret(home: Home, breaking: httpx.Client) -> None:
    home.crown()
    home.challenge()

    answer = breaking.get("/")

    assert answer.status_code == 500
    assert "logs/console.log" in Page(answer.text).text
    assert "secret" not in answer.text
    with httpx.Client(base_url=breaking.base_url, trust_env=False) as another:  # the broken answer ended its connection
        assert another.get("/audit").status_code == 200


def test_an_action_that_breaks_down_is_written_down(home: Home, breaking: httpx.Client) -> None:
    open_incident(home)

    answer = agree(breaking, "/act/ack?incident=incident-1", note="on it")

    assert answer.status_code == 500
    record = AuditLog(home.database).recent(1)[0]
    assert (record.action, record.subject, record.outcome) == ("alerts ack", "incident-1", FAILED)


def test_a_damaged_lake_hides_nothing_else(home: Home, settings: Settings, client: httpx.Client) -> None:
    home.crown()
    log = home.folder / "lake" / "interactions" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{ no json")

    page = load_settled(client)

    assert "needs you" in page.text
    assert "champion is version 1" in page.text


def test_a_database_that_cannot_be_read_is_said_and_read_again(home: Home, client: httpx.Client) -> None:
    path = home.folder / "everfeed.db"
    home.crown()
    with home.database.begin() as connection:
        connection.execute(text("SELECT 1"))
    home.database.close()
    good = path.read_bytes()
    for name in ("everfeed.db-wal", "everfeed.db-shm"):
        (home.folder / name).unlink(missing_ok=True)
    path.write_bytes(b"no database" * 1000)

    answer = client.get("/audit")

    assert answer.status_code == 503
    assert "Restore it from a backup" in answer.text
    home.database.close()
    path.write_bytes(good)
    assert client.get("/audit").status_code == 200
