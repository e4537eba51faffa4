"""Incidents, and alerts on their way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from infra.database import Database, open_database
from infra.outbox import AlertRecord, Delivery, Fate, IncidentRecord, Outbox, Settlement, SilenceRecord
from infra.outbox_queue import _ready
from recmodels.errors import StoreError

Later = Callable[[float], datetime]
BOTH = ("log", "webhook")


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def _incident(name: str, *, at: datetime, state: str = "open", revision: int = 0) -> IncidentRecord:
    return IncidentRecord(name, "", "data", state, at, at, {"sizes": [1.5, None], "name": name}, revision)


def _alert(incident: str, number: int) -> AlertRecord:
    return AlertRecord(f"{incident}-{number}", incident, {"title": f"{incident} {number}"})


def _delivered(outbox: Outbox, *deliveries: Delivery, at: datetime) -> None:
    outbox.settle([Settlement(delivery, Fate.DELIVERED) for delivery in deliveries], now=at)


def _failed(outbox: Outbox, delivery: Delivery, error: str, *, retry_at: datetime, at: datetime) -> None:
    outbox.settle([Settlement(delivery, Fate.FAILED, error, retry_at)], now=at)


def _refused(outbox: Outbox, delivery: Delivery, error: str, *, at: datetime) -> None:
    outbox.settle([Settlement(delivery, Fate.REFUSED, error)], now=at)


def _keys(deliveries: list[Delivery]) -> list[tuple[str, str]]:
    return [(delivery.channel, delivery.key) for delivery in deliveries]


def test_incident_comes_back_as_it_was_written(outbox: Outbox, now: datetime) -> None:
    outbox.record([_incident("a", at=now)], [], channels=BOTH, now=now)
    assert outbox.incidents() == [_incident("a", at=now, revision=1)]
    assert outbox.incident("a").document == {"sizes": [1.5, None], "name": "a"}
    with pytest.raises(StoreError, match="no incident 'b'"):
        outbox.incident("b")


def test_resolved_incidents_come_when_they_are_young_enough(outbox: Outbox, now: datetime, later: Later) -> None:
    changed = [_incident("a", at=now, state="resolved"), _incident("b", at=later(9), state="resolved")]
    outbox.record([*changed, _incident("c", at=later(10))], [], channels=(), now=now)
    assert [incident.incident_id for incident in outbox.incidents()] == ["c"]
    assert [incident.incident_id for incident in outbox.incidents(resolved_after=later(5))] == ["b", "c"]


def test_nothing_is_written_when_somebody_changed_the_incident(outbox: Outbox, now: datetime) -> None:
    outbox.record([_incident("a", at=now)], [], channels=BOTH, now=now)
    read = outbox.incident("a")
    outbox.record([replace(read, state="resolved")], [], channels=BOTH, now=now)
    with pytest.raises(StoreError, match="revision 2, not 1"):
        outbox.record([_incident("b", at=now), read], [_alert("a", 1)], channels=BOTH, now=now)
    with pytest.raises(StoreError, match="revision 2, not 0"):
        outbox.record([_incident("a", at=now)], [], channels=BOTH, now=now)
    assert outbox.incidents() == []
    assert outbox.deliveries() == []


def test_alert_goes_to_every_channel_once(outbox: Outbox, now: datetime) -> None:
    for _ in range(2):
        outbox.record([], [_alert("a", 1)], channels=BOTH, now=now)
    due = outbox.due(now=now)
    assert _keys(due) == [("log", "a-1"), ("webhook", "a-1")]
    assert due[0].document == {"title": "a 1"}
    for delivery in due:
        _delivered(outbox, delivery, at=now)
    assert outbox.due(now=now) == []
    assert all(delivery.delivered_at == now for delivery in outbox.deliveries(key="a-1"))


def test_channel_hears_of_an_incident_in_order(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1), _alert("a", 2), _alert("b", 1)], channels=("webhook",), now=now)
    first = outbox.due(now=now)
    assert [delivery.key for delivery in first] == ["a-1", "b-1"]
    _failed(outbox, first[0], "503", retry_at=later(5), at=now)
    _delivered(outbox, first[1], at=now)
    assert outbox.due(now=later(4)) == []
    retried = outbox.due(now=later(5))
    assert [(delivery.key, delivery.attempts, delivery.last_error) for delivery in retried] == [("a-1", 1, "503")]
    _delivered(outbox, retried[0], at=later(5))
    assert [delivery.key for delivery in outbox.due(now=later(5))] == ["a-2"]


def test_closed_channel_does_not_fill_the_limit(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert(f"a{n}", 1) for n in range(5)], channels=("closed", "webhook"), now=now)
    assert {delivery.channel for delivery in outbox.due(now=now, limit=5, channels=["webhook"])} == {"webhook"}
    assert outbox.due(now=now, channels=[]) == []


def test_refused_alert_no_longer_holds_up_the_next(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert("a", 1), _alert("a", 2)], channels=("webhook",), now=now)
    _refused(outbox, outbox.due(now=now)[0], "400 bad payload", at=now)
    assert [delivery.key for delivery in outbox.due(now=now)] == ["a-2"]
    refused = outbox.deliveries(key="a-1")[0]
    assert (refused.is_refused, refused.last_error) == (True, "400 bad payload")


def test_delivery_is_leased_to_one_sender(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1)], channels=("webhook",), now=now)
    first = outbox.due(now=now, lease_seconds=60)[0]
    assert outbox.due(now=later(59)) == []
    second = outbox.due(now=later(60))[0]  # the first sender died
    _failed(outbox, first, "late news", retry_at=later(999), at=later(61))
    assert outbox.deliveries()[0].attempts == 0
    _delivered(outbox, first, at=later(62))  # and yet it had arrived
    _failed(outbox, second, "409 known already", retry_at=later(999), at=later(63))
    assert outbox.deliveries()[0].delivered_at == later(62)
    assert outbox.due(now=later(9999)) == []


def test_every_alert_goes_to_one_of_many_senders(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert(f"a{n}", 1) for n in range(40)], channels=("webhook",), now=now)

    def send(_: int) -> list[str]:
        taken: list[str] = []
        while due := outbox.due(now=now, limit=3):
            for delivery in due:
                taken.append(delivery.key)
                _delivered(outbox, delivery, at=now)
        return taken

    with ThreadPoolExecutor(3) as pool:
        sent = [key for keys in pool.map(send, range(3)) for key in keys]
    assert sorted(sent) == sorted(f"a{n}-1" for n in range(40))


def test_channel_is_failing_since_its_first_failure_without_a_success(
    outbox: Outbox, now: datetime, later: Later
) -> None:
    outbox.record([], [_alert("a", 1), _alert("b", 1)], channels=("webhook",), now=now)
    first, second = outbox.due(now=now)
    _failed(outbox, first, "503", retry_at=later(2), at=later(1))
    state = outbox.channels()[0]
    assert (state.channel, state.pending, state.failing_since, state.last_error) == ("webhook", 2, later(1), "503")
    _delivered(outbox, second, at=later(3))
    assert outbox.channels()[0].failing_since is None
    assert outbox.channels()[0].delivered_at == later(3)


def test_silence_holds_until_it_ends(outbox: Outbox, now: datetime, later: Later) -> None:
    silence = SilenceRecord("", "data", later(60), "known outage", "anna", now)
    outbox.silence(silence)
    assert outbox.silences(now=later(59)) == [silence]
    assert outbox.silences(now=later(60)) == []


def test_every_silence_of_a_group_ends_when_it_is_ended(outbox: Outbox, now: datetime, later: Later) -> None:
    for model, family in (("", "data"), ("", "data"), ("", "model"), ("sasrec", "data")):
        outbox.silence(SilenceRecord(model, family, later(60), "why", "anna", now))
    assert outbox.unsilence("", "data", now=later(10)) == 2
    assert [(one.model, one.family) for one in outbox.silences(now=later(10))] == [("", "model"), ("sasrec", "data")]
    assert outbox.unsilence("", "data", now=later(10)) == 0


def test_delivery_is_free_again_when_it_was_given_back_untried(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert("a", 1)], channels=("webhook",), now=now)
    (first,) = outbox.due(now=now)
    assert outbox.due(now=now) == []
    outbox.settle([Settlement(first, Fate.UNTRIED)], now=now)
    (second,) = outbox.due(now=now)
    assert (second.attempts, second.first_failed_at) == (0, None)
    outbox.settle([Settlement(first, Fate.UNTRIED)], now=now)  # the first sender holds it no more
    assert outbox.due(now=now) == []


def test_leases_end_when_the_only_sender_takes_over(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert("a", 1), _alert("b", 1)], channels=("webhook",), now=now)
    left = outbox.due(now=now, limit=1, lease_seconds=3600)
    assert outbox.take_over() == 1
    assert {one.key for one in outbox.due(now=now)} == {"a-1", "b-1"}
    _delivered(outbox, left[0], at=now)
    assert outbox.deliveries(key=left[0].key)[0].delivered_at == now


def test_several_fates_are_noted_in_one_transaction(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert(name, 1) for name in "abcd"], channels=("webhook",), now=now)
    one, two, three, four = outbox.due(now=now)
    ended = [
        Settlement(one, Fate.DELIVERED),
        Settlement(two, Fate.FAILED, "503", later(5)),
        Settlement(three, Fate.REFUSED, "400"),
        Settlement(four, Fate.UNTRIED),
    ]
    outbox.settle(ended, now=later(1))
    state = outbox.channels()[0]
    assert (state.pending, state.failing_since, state.delivered_at) == (2, None, later(1))
    assert (state.refused_at, state.refusal) == (later(1), "400")
    assert [delivery.key for delivery in outbox.due(now=later(4))] == ["d-1"]
    assert [delivery.key for delivery in outbox.due(now=later(5))] == ["b-1"]


def test_channels_that_took_something_lately_are_named(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1)], channels=BOTH, now=now)
    log, webhook = outbox.due(now=now)
    _delivered(outbox, log, at=later(1))
    _delivered(outbox, webhook, at=later(2))
    assert outbox.took_since(later(1)) == ("log", "webhook")
    assert outbox.took_since(later(2)) == ("webhook",)
    assert outbox.took_since(later(3)) == ()


def test_only_old_alerts_and_resolved_incidents_are_forgotten(outbox: Outbox, now: datetime, later: Later) -> None:
    over, open_ = _incident("a", at=now, state="resolved"), _incident("b", at=now)
    outbox.record([over, open_], [_alert("a", 1)], channels=BOTH, now=now)
    outbox.record([_incident("c", at=later(20), state="resolved")], [_alert("c", 1)], channels=("log",), now=later(20))
    assert outbox.forget(before=later(10)) == 3
    assert [one.key for one in outbox.deliveries()] == ["c-1"]
    assert [one.incident_id for one in outbox.incidents(resolved_after=now - (later(1) - now))] == ["b", "c"]


def test_deliveries_of_one_incident_are_found(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert("a", 1), _alert("a", 2), _alert("b", 1)], channels=("log",), now=now)
    assert [one.key for one in outbox.deliveries(incident_id="a")] == ["a-2", "a-1"]


def test_looking_for_what_is_due_takes_nothing(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1)], channels=("webhook",), now=now)
    assert outbox.has_due(now=now, channel="webhook")
    assert outbox.has_due(now=now, channel="webhook")
    assert not outbox.has_due(now=now, channel="log")
    assert not outbox.has_due(now=now - (later(1) - now), channel="webhook")
    outbox.due(now=now)
    assert not outbox.has_due(now=now, channel="webhook")


def test_backlog_is_read_by_the_index_of_what_is_due(sqlite_url: str, now: datetime) -> None:
    database = open_database(sqlite_url)
    try:
        with database.engine.connect() as connection:
            compiled = _ready("one").compile(database.engine)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", (0, 0, "webhook", 1, 0)).all()
    finally:
        database.close()
    words = " | ".join(row[3] for row in plan)
    assert "outbox USING INDEX ix_outbox_due (channel=? AND next_at<?)" in words
    assert "other USING INDEX ix_outbox_pending (channel=? AND incident_id=? AND id<?)" in words
    assert "TEMP B-TREE" not in words
