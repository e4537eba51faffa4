"""A password of the database that expires under running processes, and is renewed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from flows.services import stack_services
from infra.database import open_database
from infra.settings import Settings
from infra.supervisor import Stack, running
from recmodels.errors import StoreError
from tests.drills.requests import ask, click, until
from tests.flows.commands import choose_free_ports, in_a_process
from tests.infra.gateway_home import Home
from tests.postgresql import Server

_ROLE, _PASSWORD = "a_team", "the-word-of-the-team"


@pytest.fixture
def owner(postgresql_server: Server) -> Iterator[Engine]:
    """The owner of the server, who renews passwords."""
    engine = create_engine(make_url(postgresql_server.url()).set(drivername="postgresql+pg8000"))
    engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {_ROLE} LOGIN PASSWORD '{_PASSWORD}'"))
        connection.execute(text(f"CREATE DATABASE {_ROLE} OWNER {_ROLE}"))
    yield engine
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {_ROLE} WITH (FORCE)"))
        connection.execute(text(f"DROP ROLE {_ROLE}"))
    engine.dispose()


@pytest.fixture
def settings(owner: Engine, postgresql_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path))
    url = postgresql_server.url(_ROLE, user=_ROLE, password=_PASSWORD)
    monkeypatch.setenv("EVERFEED_DATABASE_URL", url)
    choose_free_ports(monkeypatch)
    return Settings()


@contextmanager
def expired(owner: Engine) -> Iterator[None]:
    """Let the password have expired yesterday, and end the sessions that began with it."""
    with owner.connect() as connection:
        connection.execute(text(f"ALTER ROLE {_ROLE} VALID UNTIL '2020-01-01'"))
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{_ROLE}'"))
    try:
        yield
    finally:
        with owner.connect() as connection:
            connection.execute(text(f"ALTER ROLE {_ROLE} VALID UNTIL 'infinity'"))


@contextmanager
def gateway_and_sender(settings: Settings) -> Iterator[tuple[Stack, httpx.Client]]:
    database = open_database(settings.database)
    Home(settings.root, database).crown()
    database.close()
    wanted = tuple(one for one in stack_services(settings) if one.name in {"gateway", "sender"})
    with running(settings, wanted) as stack, httpx.Client(base_url=settings.gateway_url, timeout=20) as client:
        yield stack, client


@pytest.mark.slow
def test_answers_go_on_and_feedback_is_refused_until_the_password_is_renewed(owner: Engine, settings: Settings) -> None:
    with gateway_and_sender(settings) as (stack, client):
        before = ask(client, "before").json()
        assert click(client, before, event="before").status_code == 200
        with expired(owner):
            answers = [ask(client, f"user-{number}") for number in range(20)]
            assert {answer.status_code for answer in answers} == {200}
            refused = until(lambda: (r := click(client, before, event="expired")).status_code == 503 and r, stack)
            assert refused.headers["retry-after"] == "1"
            assert "refuses the user or the password" in refused.json()["error"]["what"]
            assert _PASSWORD not in refused.text
            time.sleep(6)  # the sender looks every five seconds
        kept = until(lambda: (r := click(client, before, event="expired")).status_code == 200 and r, stack)
        assert kept.json()["accepted"] == 1
        for number, answer in enumerate(answers):
            late = until(lambda a=answer, n=number: click(client, a.json(), event=f"late-{n}"), stack)  # type: ignore[misc]
            assert late.json()["accepted"] == 1
        logs = "".join(path.read_text() for path in settings.logs.iterdir())
        assert "refuses the user or the password" in (settings.logs / "sender.log").read_text()
        assert _PASSWORD not in logs


@pytest.mark.slow
def test_commands_say_what_to_do_when_the_password_has_expired(owner: Engine, settings: Settings) -> None:
    open_database(settings.database).close()
    with expired(owner):
        with pytest.raises(StoreError, match=r"refuses the user or the password.*VALID UNTIL"):
            open_database(settings.database)
        for command in (("up", "--detach"), ("status",)):
            ended = in_a_process(settings, command)
            assert ended.code == 2
            assert "refuses the user or the password" in ended.err
            assert "VALID UNTIL" in ended.err
            assert _PASSWORD not in ended.err + ended.out
        found = in_a_process(settings, ("doctor", "--json")).document["findings"]
        (database,) = [one for one in found if one["subject"] == "database"]
        assert not database["is_ok"]
        assert "VALID UNTIL" in database["advice"]
        assert _PASSWORD not in database["advice"]
    assert in_a_process(settings, ("status", "--json")).code == 0


@pytest.mark.slow
def test_a_wrong_token_is_refused_without_being_repeated(owner: Engine, settings: Settings) -> None:
    with gateway_and_sender(settings) as (_, client):
        wanted = {"item_ids": ["film-00"], "reason": "a test", "is_blocked": True}
        refused = client.post("/v1/admin/takedown", json=wanted, headers={"Authorization": "Bearer not-the-token"})
        assert refused.status_code in {401, 403}
        assert "not-the-token" not in refused.text
        assert refused.json()["error"]["what_to_do"]
        own = {"Authorization": f"Bearer {settings.token()}"}
        assert client.post("/v1/admin/takedown", json=wanted, headers=own).status_code == 200
