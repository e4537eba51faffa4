"""Incidents and their alerts are written together, by the monitor, by a person, and about the channels themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows.incidents import acknowledge_incident, check_channels, check_retrains, find_incident, record_change
from infra.database import open_database
from infra.outbox import AlertRecord, Fate, Outbox, Settlement
from infra.retrains import Retrain
from infra.settings import Settings
from monitoring.incidents import IncidentConfig, IncidentError, advance, incident_from
from monitoring.result import CheckResult, Status
from recmodels.errors import StoreError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRIFT = CheckResult("rate", "data", Status.DRIFT, size=5.0, since=NOW, message="rate moved.")
CALM = CheckResult("rate", "data", Status.OK)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def outbox(tmp_path) -> Iterator[Outbox]:
    database = open_database(f"sqlite:///{tmp_path / 'everfeed.db'}")
    yield Outbox(database)
    database.close()


def run(outbox: Outbox, *results: CheckResult, at: datetime = NOW) -> None:
    """One run of the monitor."""
    known = outbox.incidents()
    change = advance([incident_from(one.document) for one in known], results, model="", now=at, config=IncidentConfig())
    record_change(outbox, change, known, channels=["log", "hook"], link="http://report", now=at)


def keys(outbox: Outbox, channel: str) -> list[str]:
    found = [one for one in reversed(outbox.deliveries()) if one.channel == channel]
    return [one.key.split("-", 1)[1] for one in found]


def test_incident_and_its_alerts_are_written_together(outbox):
    run(outbox, DRIFT)
    (record,) = outbox.incidents()
    assert (record.revision, record.state) == (1, "open")
    assert keys(outbox, "log") == keys(outbox, "hook") == ["1-opened"]
    assert outbox.deliveries()[0].document["link"] == "http://report"


def test_incident_is_not_written_again_when_nothing_changed(outbox):
    run(outbox, DRIFT)
    run(outbox, DRIFT, at=later(60))
    (record,) = outbox.incidents()
    assert (record.revision, record.changed_at) == (1, NOW)
    run(outbox, CALM, at=later(120))
    assert outbox.incidents() == []
    assert keys(outbox, "log") == ["1-opened", "2-resolved"]


def test_acknowledgement_is_kept_and_told(outbox, tmp_path):
    run(outbox, DRIFT)
    incident_id = outbox.incidents()[0].incident_id
    settings = Settings(home=tmp_path)
    taken = acknowledge_incident(
        outbox, incident_id, by="ada", note="on it", channels=["log"], settings=settings, clock=lambda: later(9)
    )
    assert (taken.acknowledged_by, taken.acknowledged_at) == ("ada", later(9))
    assert incident_from(outbox.incident(incident_id).document) == taken
    assert keys(outbox, "log") == ["1-opened", "2-acknowledged"]
    assert keys(outbox, "hook") == ["1-opened"]


def test_acknowledgement_survives_a_run_of_the_monitor_at_the_same_moment(outbox, tmp_path):
    run(outbox, DRIFT)
    incident_id, moments = outbox.incidents()[0].incident_id, iter([later(400), later(401)])

    def clock() -> datetime:
        moment = next(moments)
        if moment == later(400):  # the monitor writes between the reading and the writing
            run(outbox, CheckResult("rate", "data", Status.DRIFT, size=50.0, message="worse."), at=moment)
        return moment

    taken = acknowledge_incident(
        outbox, incident_id, by="ada", note="", channels=["log"], settings=Settings(home=tmp_path), clock=clock
    )
    assert taken.results[0].size == 50.0
    assert keys(outbox, "log") == ["1-opened", "2-updated", "3-acknowledged"]
    with pytest.raises(StoreError, match="no incident 'none'"):
        acknowledge_incident(
            outbox, "none", by="ada", note="", channels=[], settings=Settings(home=tmp_path), clock=lambda: NOW
        )


def test_incident_is_found_by_how_its_id_begins(outbox):
    run(outbox, DRIFT, CheckResult("volume", "population", Status.DRIFT, size=4.0))
    first, second = (one.incident_id for one in outbox.incidents())
    assert find_incident(outbox, first[:8]).incident_id == first
    assert first != second
    for start in ("", "zz"):
        with pytest.raises(IncidentError, match=r"no incident.s id begins with"):
            find_incident(outbox, start)


def fail(outbox: Outbox, *, at: datetime) -> None:
    """Let the hook fail once, at a moment."""
    (delivery,) = outbox.due(now=at, channels=["hook"])
    outbox.settle([Settlement(delivery, Fate.FAILED, "hooks:443 answered 503", at)], now=at)


def test_dead_channel_is_told_through_the_others_once_and_that_it_works_again_through_all(outbox):
    outbox.record([], [AlertRecord("i1-1-opened", "i1", {})], channels=["hook"], now=NOW)
    fail(outbox, at=NOW)
    for seconds in (60, 899, 900, 1000, 2000):
        check_channels(outbox, ["log", "hook"], now=later(seconds), link="http://console")
    assert keys(outbox, "log") == ["1-opened"]
    assert keys(outbox, "hook") == ["1-opened"]  # its own, which waits
    told = next(one for one in outbox.deliveries() if one.channel == "log")
    assert told.document["title"] == "Opened: alert delivery: channel hook is dead"
    (delivery,) = outbox.due(now=later(2100), channels=["hook"])
    outbox.settle([Settlement(delivery, Fate.DELIVERED)], now=later(2100))
    check_channels(outbox, ["log", "hook"], now=later(2200), link="")
    assert keys(outbox, "log") == ["1-opened", "2-resolved"]
    assert keys(outbox, "hook")[-1] == "2-resolved"


def test_refusal_is_told_of_and_passes(outbox):
    outbox.record([], [AlertRecord("i1-1-opened", "i1", {})], channels=["hook"], now=NOW)
    (delivery,) = outbox.due(now=NOW, channels=["hook"])
    outbox.settle([Settlement(delivery, Fate.REFUSED, "answered 400")], now=NOW)
    check_channels(outbox, ["log", "hook"], now=later(5), link="")
    check_channels(outbox, ["log", "hook"], now=later(86_400), link="")
    assert keys(outbox, "log") == ["1-opened", "2-resolved"]


def test_every_channel_is_told_when_all_are_dead(outbox):
    outbox.record([], [AlertRecord("i1-1-opened", "i1", {})], channels=["hook"], now=NOW)
    fail(outbox, at=NOW)
    check_channels(outbox, ["hook"], now=later(900), link="")
    assert keys(outbox, "hook") == ["1-opened", "1-opened"]


def retrained(outcome: str, incident_id: str, *, at: datetime) -> Retrain:
    return Retrain(
        number=1,
        retrain_id="2026-03-01-abc",
        incident_ids=(incident_id,),
        reason="drift",
        learns_from=None,
        requested_at=at,
        started_at=at,
        ended_at=at if outcome else None,
        outcome=outcome,
        version=None,
        words="the lake holds no data yet.",
    )


def test_failed_retrain_is_told_once_and_over_when_the_next_one_ends_well(outbox):
    run(outbox, DRIFT)
    (cause,) = (one.incident_id for one in outbox.incidents())
    check_retrains(outbox, [], ["log"], now=NOW, link="")
    failed, running = retrained("failed", cause, at=NOW), retrained("", cause, at=later(60))
    check_retrains(outbox, [failed], ["log"], now=later(10), link="http://console")
    check_retrains(outbox, [running, failed], ["log"], now=later(70), link="http://console")
    assert keys(outbox, "log") == ["1-opened", "1-opened"]  # of the drift, and of retraining
    told = outbox.deliveries()[0].document
    assert told["title"] == "Opened: retraining: the last retrain failed"
    assert "Retrain 2026-03-01-abc failed at 2026-03-01 12:00 UTC: the lake holds no data yet." in told["text"]
    check_retrains(outbox, [retrained("refused", cause, at=later(80)), failed], ["log"], now=later(90), link="")
    assert keys(outbox, "log")[-1] == "2-resolved"


def test_failed_retrain_is_over_when_the_drift_is(outbox):
    run(outbox, DRIFT)
    failed = retrained("failed", outbox.incidents()[0].incident_id, at=NOW)
    check_retrains(outbox, [failed], ["log"], now=NOW, link="")
    run(outbox, CALM, at=later(60))
    check_retrains(outbox, [failed], ["log"], now=later(60), link="")
    assert outbox.incidents() == []
