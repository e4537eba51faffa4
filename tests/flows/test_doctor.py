"""The doctor: every store and port is looked at, and what is wrong is a finding with advice, never an error."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.doctor import Finding, examine
from infra.database import open_database
from infra.settings import Settings
from recmodels.data.schema import ITEMS
from tests.flows.commands import Terminal, choose_free_ports, write

PORTS = ("gateway", "console", "prefect", "mlflow")


@pytest.fixture
def settings(mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home with ports of its own, and a new MLflow database."""
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    made = Settings()
    made.root.mkdir()
    (made.root / "mlflow.db").write_bytes(mlflow_template.read_bytes())
    return made


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def _found(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(settings)}


def test_nothing_is_wrong_with_the_stores_when_the_home_is_empty(settings: Settings) -> None:
    found = _found(settings)
    assert found["lake"] == Finding("lake", is_ok=True, seen="empty")
    assert found["rollouts"] == Finding("rollouts", is_ok=True, seen="nobody serves yet")
    assert found["model registry"] == Finding("model registry", is_ok=True, seen="empty")
    assert found["database"].is_ok
    assert all(found[f"port of {name}"].is_ok for name in PORTS)
    assert [subject for subject in found if subject.startswith("service")] == []


def test_every_finding_that_is_wrong_has_advice_when_much_is_wrong(settings: Settings) -> None:
    write(settings.root / "everfeed.db", "no database " * 100)
    write(settings.root / "mlflow.db", "no database " * 100)
    write(settings.root / "stack.json", "{")
    for finding in examine(settings):
        assert bool(finding.advice) is not finding.is_ok


def _damage_database(settings: Settings) -> None:
    write(settings.root / "everfeed.db", "no database " * 100)


def _make_newer(settings: Settings) -> None:
    database = open_database(settings.database)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def _damage_lake(settings: Settings) -> None:
    from infra.lake import Lake

    Lake(settings.lake).replace("items", ITEMS.empty_table())
    for log in Path(settings.lake).rglob("*.json"):
        log.write_text("{")


def _crown_without_alias(settings: Settings) -> None:
    from datetime import UTC, datetime

    from infra.rollouts import ModelReference, RolloutStore

    database = open_database(settings.database)
    model = ModelReference("0" * 64, 7)
    RolloutStore(database).set_bootstrap_champion(model, now=datetime.now(UTC), by="a test", reason="bootstrap")
    database.close()


@pytest.mark.parametrize(
    ("harm", "subject", "words"),
    [
        (_damage_database, "database", ("is damaged", "backup")),
        (_damage_database, "rollouts", ("is damaged", "backup")),
        (_make_newer, "database", ("'9999'", "newer Everfeed", "install that one")),
        (_damage_lake, "lake", ("items", "is damaged", "backup")),
        (_crown_without_alias, "model registry", ("alias champion is at version None", "says 7")),
    ],
)
def test_a_store_is_a_finding_with_advice_when_it_is_harmed(
    settings: Settings, harm: Callable[[Settings], None], subject: str, words: tuple[str, ...]
) -> None:
    harm(settings)
    finding = _found(settings)[subject]
    assert not finding.is_ok
    for expected in words:
        assert expected in finding.advice


def test_mlflow_is_a_finding_when_its_database_is_damaged_after_a_champion(settings: Settings) -> None:
    _crown_without_alias(settings)
    write(settings.root / "mlflow.db", "no database " * 100)
    finding = _found(settings)["model registry"]
    assert not finding.is_ok
    assert "mlflow.db" in finding.advice


def test_a_port_is_a_finding_that_names_its_owner_when_it_is_taken(settings: Settings) -> None:
    with socket.socket() as owner:
        owner.bind((settings.host, settings.mlflow_port))
        owner.listen()
        finding = _found(settings)["port of mlflow"]
    assert not finding.is_ok
    assert str(settings.mlflow_port) in finding.seen
    assert str(os.getpid()) in finding.seen
    assert "EVERFEED_MLFLOW_PORT" in finding.advice


def test_the_record_of_services_is_a_finding_when_it_is_damaged(settings: Settings) -> None:
    write(settings.root / "stack.json", "{")
    finding = _found(settings)["services"]
    assert not finding.is_ok
    assert "stack.json" in finding.advice


@pytest.mark.parametrize("is_harmed", [False, True])
def test_the_exit_code_says_whether_something_is_wrong_when_the_doctor_is_asked(
    everfeed: Terminal, settings: Settings, is_harmed: bool
) -> None:
    if is_harmed:
        _damage_database(settings)
    ended = everfeed("doctor", "--json")
    findings = ended.document["findings"]
    assert ended.code == int(any(not finding["is_ok"] for finding in findings))
    assert {finding["subject"]: finding["is_ok"] for finding in findings}["database"] is not is_harmed
    assert ("wrong database" in everfeed("doctor").err) is is_harmed


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("everfeed.db", "no database " * 100, ("everfeed.db", "is damaged", "backup")),
        ("stack.json", "{", ("stack.json", "everfeed down")),
    ],
)
def test_status_says_what_is_wrong_when_a_file_is_damaged(
    everfeed: Terminal, settings: Settings, name: str, text: str, words: tuple[str, ...]
) -> None:
    path = write(settings.root / name, text)
    ended = everfeed("status", "--json")
    assert (ended.code, ended.out) == (2, "")
    for expected in words:
        assert expected in ended.last_line
    assert path.read_text() == text
