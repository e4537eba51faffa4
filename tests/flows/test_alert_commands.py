"""`everfeed alerts`: what a person sees and does about incidents and channels."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.incidents import record_change
from infra.database import open_database
from infra.outbox import Fate, Outbox, Settlement
from infra.settings import Settings
from monitoring.incidents import IncidentConfig, advance, incident_from
from monitoring.result import CheckResult, Status
from tests.flows.commands import Terminal
from tests.monitoring.alerts.sink import free_url, listening

NOW = datetime.now(UTC).replace(microsecond=0)
WORDS = "nulls: 3.00%, expected 1.00%. Likely cause: the data: a new producer. Proposed: Fix it [now]."
NULLS = CheckResult("nulls", "data", Status.DRIFT, size=8.125, since=NOW, slice="surface=live", message=WORDS)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    return Settings()


@pytest.fixture
def outbox(settings: Settings) -> Iterator[Outbox]:
    database = open_database(settings.database)
    yield Outbox(database)
    database.close()


@pytest.fixture
def everfeed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def run(outbox: Outbox, *results: CheckResult, at: datetime = NOW) -> str:
    """One run of the monitor; return the id of an incident."""
    known = outbox.incidents()
    change = advance([incident_from(one.document) for one in known], results, model="", now=at, config=IncidentConfig())
    record_change(outbox, change, known, channels=["log"], link="http://report", now=at)
    return change.incidents[0].incident_id


def test_nothing_is_listed_in_an_empty_home(everfeed, settings):
    ended = everfeed("alerts", "list")
    assert (ended.code, ended.out, ended.err.strip()) == (0, "", "No incident.")
    assert everfeed("alerts", "list", "--json").document == {"incidents": [], "silences": []}


def test_list_says_what_a_person_needs_to_act(everfeed, outbox):
    incident_id = run(outbox, NULLS)
    (line,) = everfeed("alerts", "list", "--json").document["incidents"]
    assert (line["incident_id"], line["state"], line["figure"]) == (incident_id, "open", "nulls")
    assert (line["size"], line["slice"], line["num_figures"]) == (8.125, "surface=live", 1)
    assert (line["cause"], line["action"]) == ("the data: a new producer", "Fix it [now].")
    assert line["since"] == str(NOW)
    shown = everfeed("alerts", "list").err
    for words in (incident_id, "nulls [surface=live]", "+8.1", "Fix it [now]."):
        assert words in shown


def test_resolved_incident_is_listed_when_all_are_wanted(everfeed, outbox):
    run(outbox, NULLS)
    run(outbox, CheckResult("nulls", "data", Status.OK, slice="surface=live"), at=NOW + timedelta(hours=1))
    assert everfeed("alerts", "list", "--json").document["incidents"] == []
    (line,) = everfeed("alerts", "list", "--all", "--json").document["incidents"]
    assert (line["state"], line["resolved_at"]) == ("resolved", str(NOW + timedelta(hours=1)))
    ended = everfeed("alerts", "ack", line["incident_id"])
    assert (ended.code, "only an open one can be acknowledged" in ended.err) == (2, True)


def test_incident_is_acknowledged_shown_and_told(everfeed, outbox):
    incident_id = run(outbox, NULLS)
    taken = everfeed("alerts", "ack", incident_id[:6], "--by", "ada", "--note", "on it", "--json").document
    assert (taken["state"], taken["acknowledged_by"], taken["acknowledged_note"]) == ("acknowledged", "ada", "on it")
    page = everfeed("alerts", "show", incident_id[:6], "--json").document
    assert page["acknowledged_by"] == "ada"
    assert [one["key"].split("-")[2] for one in page["deliveries"]] == ["opened", "acknowledged"]
    shown = everfeed("alerts", "show", incident_id).err
    for words in ("ada takes care: on it", "nulls[surface=live]: nulls: 3.00%", "log: ", "waiting"):
        assert words in shown
    assert "acknowledged by ada" in everfeed("alerts", "list").err


def test_user_of_this_machine_acknowledges_when_nobody_is_named(everfeed, outbox):
    assert everfeed("alerts", "ack", run(outbox, NULLS), "--json").document["acknowledged_by"]


def test_group_is_silent_until_it_is_ended(everfeed, outbox):
    run(outbox, NULLS)
    added = everfeed("alerts", "silence", "all", "--model", "*", "--for", "2h", "--reason", "move", "--json").document
    assert (added["model"], added["family"], added["reason"]) == ("*", "", "move")
    until = datetime.fromisoformat(added["until"])
    assert timedelta(minutes=119) < until - datetime.now(UTC) <= timedelta(hours=2)
    document = everfeed("alerts", "list", "--json").document
    assert document["incidents"][0]["state"] == "silenced"
    assert len(document["silences"]) == 1
    assert "every family of everything" in everfeed("alerts", "list").err
    assert everfeed("alerts", "unsilence", "all", "--model", "*", "--json").document == {"ended": 1}
    assert everfeed("alerts", "list", "--json").document["silences"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("silence", "date", "--for", "2h", "--reason", "x"), "family 'date' is not known"),
        (("silence", "data", "--for", "0m", "--reason", "x"), "'0m' is no length"),
        (("silence", "data", "--for", "2 hours", "--reason", "x"), "'2 hours' is no length"),
        (("unsilence", "date"), "family 'date' is not known"),
        (("ack", "nowhere"), "no incident's id begins with 'nowhere'"),
        (("show", "nowhere"), "no incident's id begins with 'nowhere'"),
        (("test", "nowhere"), "there is no channel 'nowhere'. Configured: log."),
    ],
)
def test_mistake_is_answered_with_what_would_be_right(everfeed, settings, arguments, words):
    ended = everfeed("alerts", *arguments)
    assert ended.code == 2
    assert words in ended.err


def test_every_channel_says_what_it_did_with_a_test_alert(everfeed, settings):
    settings.root.mkdir()
    with listening(500) as busy:
        choices = {
            "busy": {"name": "webhook", "options": {"url": busy.url}},
            "gone": {"name": "slack", "options": {"url": free_url()}},
            "odd": {"name": "slack", "options": {"url": "secret:none"}},
        }
        settings.channels_file.write_text(json.dumps(choices))
        ended = everfeed("alerts", "test", "--json")
        assert ended.code == 1
        said = {one["channel"]: one for one in ended.document["channels"]}
        assert {name: one["is_delivered"] for name, one in said.items()} == {
            "log": True, "busy": False, "gone": False, "odd": False,
        }  # fmt: skip
        assert "answered 500" in said["busy"]["reason"]
        assert "cannot be reached" in said["gone"]["reason"]
        assert "secret 'none' cannot be read" in said["odd"]["reason"]
        assert everfeed("alerts", "test", "busy").code == 0
        told = [json.loads(body) for _, body in busy.requests[1:]]
    assert [one["transition"] for one in told] == ["opened", "resolved"]
    assert len({one["incident_id"] for one in told}) == 1
    assert "took it" in everfeed("alerts", "test", "log").err


def test_channels_show_what_waits_and_why(everfeed, outbox, settings):
    run(outbox, NULLS)
    outbox.record([], [], channels=["hook"], now=NOW)
    (delivery,) = outbox.due(now=NOW)
    outbox.settle([Settlement(delivery, Fate.FAILED, "disk is full", NOW)], now=NOW)
    (line,) = everfeed("alerts", "channels", "--json").document["channels"]
    assert (line["channel"], line["plugin"], line["is_configured"], line["pending"]) == ("log", "log", True, 1)
    assert line["last_error"] == "disk is full"
    assert "disk is full" in everfeed("alerts", "channels").err
