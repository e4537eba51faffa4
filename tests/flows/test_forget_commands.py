"""`everfeed forget` on the command line: what it asks, what it shows, and a whole erasure as a process."""

import io
import json
import sys

import pytest

from flows.wiring import connect
from infra.events import user_key
from infra.settings import Settings
from tests.flows.commands import Terminal, choose_free_ports, in_a_process
from tests.flows.homes import ingested


@pytest.fixture
def settings(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", f"{tmp_path}/home")
    return Settings()


def test_it_asks_for_one_thing_and_for_an_agreement(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(capsys, monkeypatch)
    assert terminal("forget", "--list").last_line == "Nobody was erased."
    for arguments in (["forget", "ann", "--list"], ["forget"]):
        refused = terminal(*arguments)
        assert refused.code == 2
        assert "give a user id, or --user-key" in refused.err
    assert terminal("forget", "--receipt", "abc").code == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("no\n"))
    refused = terminal("forget", "ann")
    assert refused.code == 1
    assert "cannot be undone" in refused.err
    assert connect(settings).erasures.receipts() == []


@pytest.mark.slow
def test_a_person_is_erased_from_the_command_line_by_id_and_by_key(
    home: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingested()
    choose_free_ports(monkeypatch)
    settings = Settings()
    key = user_key("u000007", settings.user_secret())
    before = connect(home).lake.read("users").num_rows

    first = in_a_process(settings, ["forget", "u000003", "--yes", "--json"])
    second = in_a_process(settings, ["forget", "--user-key", key, "--yes", "--json"])
    unknown = in_a_process(settings, ["forget", "nobody at all", "--yes", "--json"])

    assert [ended.code for ended in (first, second, unknown)] == [0, 0, 0], first.err + second.err + unknown.err
    receipts = [json.loads(ended.out.splitlines()[-1])[0] for ended in (first, second, unknown)]
    assert [receipt["was_known"] for receipt in receipts] == [True, True, False]
    assert connect(home).lake.read("users").num_rows == before - 2
    for ended in (first, second, unknown):
        assert not any(name in ended.err + ended.out for name in ("u000003", "u000007", key, "nobody at all"))
    listed = Terminal(capsys, monkeypatch)("forget", "--list", "--json").document
    assert [one["erasure_id"] for one in listed] == [receipt["erasure_id"] for receipt in receipts[::-1]]
