"""`everfeed retrains`, and what `everfeed status` says of the last one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.wiring import Platform, connect
from infra.settings import Settings
from tests.flows.commands import Terminal

NOW = datetime(2026, 3, 5, 0, 45, tzinfo=UTC)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return connect(Settings())


@pytest.fixture
def everfeed(platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_nothing_is_listed_when_nothing_drifted(everfeed: Terminal) -> None:
    ended = everfeed("retrains", "list", "--json")
    assert (ended.code, ended.document) == (0, [])
    assert "Nothing was retrained" in everfeed("retrains", "list").err


def test_cause_and_outcome_are_shown_the_newest_first(everfeed: Terminal, platform: Platform) -> None:
    store = platform.retrains
    first = store.request(["fell"], reason="clicks fell", learns_from=NOW - timedelta(days=2), now=NOW, seen=0)
    assert first is not None
    store.claim(first.retrain_id, now=NOW)
    store.end(first.retrain_id, now=NOW, outcome="challenger", words="version 3 is a challenger", version=3)
    second = store.request(["again"], reason="more", learns_from=None, now=NOW + timedelta(days=3), seen=first.number)
    assert second is not None
    ended = everfeed("retrains", "list", "--json")
    assert [(one["retrain_id"], one["state"]) for one in ended.document] == [
        (second.retrain_id, "waiting"),
        (first.retrain_id, "challenger"),
    ]
    assert ended.document[1]["incident_ids"] == ["fell"]
    page = everfeed("retrains", "list").err
    assert "2026-03-05 00:45 UTC, learning from 2026-03-03 on" in page
    assert "because of incidents fell: clicks fell" in page
    assert "version 3 is a challenger" in page
    assert everfeed("status", "--json").document["retrain"]["state"] == "waiting"
    assert f"last retrain {second.retrain_id}: waiting" in everfeed("status").err
