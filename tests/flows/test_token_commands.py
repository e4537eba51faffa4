"""`everfeed tokens` and `everfeed audit-log`: who may, and who did."""

import getpass
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from flows.commands.audited import audited
from infra.access import AccessTokens, Caller, Role
from infra.database import open_database
from infra.settings import Settings
from recmodels.errors import StoreError
from tests.flows.commands import Terminal

ACTOR = f"cli:{getpass.getuser()}"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    return Settings()


@pytest.fixture
def everfeed(settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def _caller(settings: Settings, token: str) -> Caller | None:
    database = open_database(settings.database)
    try:
        return AccessTokens(database, master=settings.token()).caller(token, now=datetime.now(UTC))
    finally:
        database.close()


def test_a_token_is_shown_once_listed_and_revoked(everfeed: Terminal, settings: Settings) -> None:
    made = everfeed("tokens", "add", "ana", "--role", "operator", "--days", "30", "--json").document
    assert _caller(settings, made["token"]) == Caller("ana", Role.OPERATOR)
    ends = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert ends == timedelta(days=30)

    said = everfeed("tokens", "add", "grafana", "--role", "viewer")
    (token,) = re.findall(r"^ef_\S+$", said.err, re.MULTILINE)
    assert (said.out, _caller(settings, token)) == ("", Caller("grafana", Role.VIEWER))
    listed = everfeed("tokens", "list", "--json")
    assert [(one["name"], one["role"], one["is_valid"]) for one in listed.document] == [
        ("grafana", "viewer", True),
        ("ana", "operator", True),
    ]
    assert token not in listed.out + everfeed("tokens", "list").err

    assert everfeed("tokens", "revoke", "ana").code == 0
    assert _caller(settings, made["token"]) is None
    again = everfeed("tokens", "revoke", "ana")
    assert (again.code, "no valid token named 'ana'" in again.err) == (2, True)
    assert "ana: operator, made" in everfeed("tokens", "list").err

    log = everfeed("audit-log", "--json")
    assert [(one["actor"], one["action"], one["subject"], one["outcome"]) for one in log.document] == [
        (ACTOR, "tokens revoke", "ana", "refused"),
        (ACTOR, "tokens revoke", "ana", "done"),
        (ACTOR, "tokens add", "grafana", "done"),
        (ACTOR, "tokens add", "ana", "done"),
    ]
    assert token not in log.out
    assert everfeed("audit-log", "--limit", "1").err.count("\n") == 1
    assert everfeed("audit-log", "--before", "2020-01-01", "--json").document == []


def test_an_unknown_role_says_which_there_are(everfeed: Terminal) -> None:
    refused = everfeed("tokens", "add", "ana", "--role", "admin")
    assert refused.code == 2
    assert all(role in refused.err for role in ("viewer", "service", "operator"))


def test_how_a_deed_ended_is_recorded_and_what_nobody_agreed_to_is_not(everfeed: Terminal, settings: Settings) -> None:
    def end_with(error: Exception | None, *, tells_why: bool = True) -> None:
        with audited(settings, "gc", "a", "now", tells_why=tells_why) as deed:
            deed.words = "3 things"
            if error:
                raise error

    end_with(None)
    for error, tells_why in ((StoreError("no u1"), True), (StoreError("no u1"), False), (OSError("gone"), True)):
        with pytest.raises(type(error)):
            end_with(error, tells_why=tells_why)
    with pytest.raises(typer.Abort):
        end_with(typer.Abort())
    kept = [(one["outcome"], one["words"]) for one in everfeed("audit-log", "--json").document]
    assert kept == [
        ("failed", "3 things: OSError: gone"),
        ("refused", "3 things: StoreError"),
        ("refused", "3 things: no u1"),
        ("done", "3 things"),
    ]


def test_a_deed_fails_as_it_did_when_the_database_takes_no_record(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.root.mkdir(parents=True)
    (settings.root / "everfeed.db").write_text("no database at all, but a text that is long enough to be one " * 20)
    with pytest.raises(StoreError, match="the reason"), audited(settings, "gc"):
        raise StoreError("the reason")
    assert "the audit log has no record of this 'gc'" in caplog.text


def test_what_needs_no_home_is_recorded_where_there_is_one(
    everfeed: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "mine"
    monkeypatch.setenv("EVERFEED_HOME", str(project / ".everfeed"))
    containers = ("deploy", "--pool", "own", "--type", "docker")
    assert everfeed("init", str(tmp_path / "other")).code == 0
    assert everfeed(*containers).code == 2
    assert list(project.rglob("*.db")) == list((tmp_path / "other").rglob("*.db")) == []

    everfeed("audit-log")  # makes the tables
    assert everfeed("init", str(project)).code == 0
    assert everfeed(*containers, "--dry-run").code == everfeed(*containers).code == 2
    found = everfeed("audit-log", "--json").document
    assert [(one["action"], one["subject"], one["outcome"]) for one in found] == [
        ("deploy", "pool own", "refused"),
        ("init", str(project), "done"),
    ]
    assert "with --image" in found[0]["words"]


def test_a_tenant_has_tokens_and_records_of_its_own_and_must_be_named(
    everfeed: Terminal, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERFEED_TENANT", "a")
    made = everfeed("tokens", "add", "ana", "--role", "operator", "--json").document
    monkeypatch.setenv("EVERFEED_TENANT", "b")
    assert everfeed("tokens", "list", "--json").document == everfeed("audit-log", "--json").document == []
    assert _caller(Settings(), made["token"]) is None

    monkeypatch.delenv("EVERFEED_TENANT")
    forgotten = everfeed("tokens", "list")
    assert (forgotten.code, forgotten.out) == (2, "")
    assert "is shared by tenants (a, b), and none is named. Set EVERFEED_TENANT" in forgotten.err
    monkeypatch.setenv("EVERFEED_TENANT", "../b")
    assert "EVERFEED_TENANT='../b': '../b' is no name of a tenant" in everfeed("tokens", "list").err
