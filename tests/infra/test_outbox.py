"""Incidents, and alerts on their way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from infra.database import Database
from infra.outbox import AlertRecord, Delivery, IncidentRecord, Outbox, SilenceRecord
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
        outbox.delivered(delivery, now=now)
    assert outbox.due(now=now) == []
    assert all(delivery.delivered_at == now for delivery in outbox.deliveries(key="a-1"))


def test_channel_hears_of_an_incident_in_order(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1), _alert("a", 2), _alert("b", 1)], channels=("webhook",), now=now)
    first = outbox.due(now=now)
    assert [delivery.key for delivery in first] == ["a-1", "b-1"]
    outbox.failed(first[0], error="503", retry_at=later(5), now=now)
    outbox.delivered(first[1], now=now)
    assert outbox.due(now=later(4)) == []
    retried = outbox.due(now=later(5))
    assert [(delivery.key, delivery.attempts, delivery.last_error) for delivery in retried] == [("a-1", 1, "503")]
    outbox.delivered(retried[0], now=later(5))
    assert [delivery.key for delivery in outbox.due(now=later(5))] == ["a-2"]


def test_closed_channel_does_not_fill_the_limit(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert(f"a{n}", 1) for n in range(5)], channels=("closed", "webhook"), now=now)
    assert {delivery.channel for delivery in outbox.due(now=now, limit=5, channels=["webhook"])} == {"webhook"}
    assert outbox.due(now=now, channels=[]) == []


def test_refused_alert_no_longer_holds_up_the_next(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert("a", 1), _alert("a", 2)], channels=("webhook",), now=now)
    outbox.refused(outbox.due(now=now)[0], error="400 bad payload")
    assert [delivery.key for delivery in outbox.due(now=now)] == ["a-2"]
    refused = outbox.deliveries(key="a-1")[0]
    assert (refused.is_refused, refused.last_error) == (True, "400 bad payload")


def test_delivery_is_leased_to_one_sender(outbox: Outbox, now: datetime, later: Later) -> None:
    outbox.record([], [_alert("a", 1)], channels=("webhook",), now=now)
    first = outbox.due(now=now, lease_seconds=60)[0]
    assert outbox.due(now=later(59)) == []
    second = outbox.due(now=later(60))[0]  # the first sender died
    outbox.failed(first, error="late news", retry_at=later(999), now=later(61))
    assert outbox.deliveries()[0].attempts == 0
    outbox.delivered(first, now=later(62))  # and yet it had arrived
    outbox.failed(second, error="409 known already", retry_at=later(999), now=later(63))
    assert outbox.deliveries()[0].delivered_at == later(62)
    assert outbox.due(now=later(9999)) == []


def test_every_alert_goes_to_one_of_many_senders(outbox: Outbox, now: datetime) -> None:
    outbox.record([], [_alert(f"a{n}", 1) for n in range(40)], channels=("webhook",), now=now)

    def send(_: int) -> list[str]:
        taken: list[str] = []
        while due := outbox.due(now=now, limit=3):
            for delivery in due:
                taken.append(delivery.key)
                outbox.delivered(delivery, now=now)
        return taken

    with ThreadPoolExecutor(3) as pool:
        sent = [key for keys in pool.map(send, range(3)) for key in keys]
    assert sorted(sent) == sorted(f"a{n}-1" for n in range(40))


def test_channel_is_failing_since_its_first_failure_without_a_success(
    outbox: Outbox, now: datetime, later: Later
) -> None:
    outbox.record([], [_alert("a", 1), _alert("b", 1)], channels=("webhook",), now=now)
    first, second = outbox.due(now=now)
    outbox.failed(first, error="503", retry_at=later(2), now=later(1))
    state = outbox.channels()[0]
    assert (state.channel, state.pending, state.failing_since, state.last_error) == ("webhook", 2, later(1), "503")
    outbox.delivered(second, now=later(3))
    assert outbox.channels()[0].failing_since is None
    assert outbox.channels()[0].delivered_at == later(3)


def test_silence_holds_until_it_ends(outbox: Outbox, now: datetime, later: Later) -> None:
    silence = SilenceRecord("", "data", later(60), "known outage", "anna", now)
    outbox.silence(silence)
    assert outbox.silences(now=later(59)) == [silence]
    assert outbox.silences(now=later(60)) == []
