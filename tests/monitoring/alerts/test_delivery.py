from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitoring.alerts import Alert, DeliveryError
from monitoring.alerts.delivery import (
    Attempt,
    Outcome,
    Pending,
    RetryConfig,
    attempt,
    dead_channel_alert,
    is_dead,
    others,
    retry_at,
    retry_seconds,
    sendable,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PATIENT = RetryConfig(first_seconds=1, factor=2, cap_seconds=30, jitter=0)


def alert(key="k1", incident="i1") -> Alert:
    return Alert(key, incident, "opened", "title", "text", "warning", "x", 3.0, NOW, NOW)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)])
def test_wait_doubles_up_to_its_cap(attempts, seconds):
    rng = np.random.default_rng(0)
    assert retry_seconds(attempts, config=PATIENT, rng=rng) == seconds
    assert retry_at(attempts, now=NOW, config=PATIENT, rng=rng) == NOW + timedelta(seconds=seconds)


def test_waits_differ_when_there_is_jitter():
    config = RetryConfig(first_seconds=8, jitter=0.25)
    rng = np.random.default_rng(0)
    waits = np.asarray([retry_seconds(1, config=config, rng=rng) for _ in range(500)])
    assert 6 <= waits.min() < 6.1
    assert 7.9 < waits.max() <= 8


def test_wait_is_refused_when_nothing_failed():
    with pytest.raises(ValueError, match="attempts is 0"):
        retry_seconds(0, config=PATIENT, rng=np.random.default_rng(0))


class Failing:
    """A sink at the edge of the system: it stands for the network."""

    def __init__(self, error: DeliveryError | None) -> None:
        self.error = error

    def send(self, alert: Alert) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Attempt(Outcome.DELIVERED)),
        (DeliveryError("busy", is_retryable=True), Attempt(Outcome.RETRY, "busy")),
        (
            DeliveryError("late", is_retryable=True, is_ambiguous=True),
            Attempt(Outcome.RETRY, "late", is_ambiguous=True),
        ),
        (DeliveryError("no such page", is_retryable=False), Attempt(Outcome.REFUSED, "no such page")),
    ],
)
def test_attempt_answers_when_the_channel_fails(error, expected):
    assert attempt(alert(), Failing(error)) == expected


def pending(position: int, *, incident="i1", channel="log", due=0.0) -> Pending:
    return Pending(alert(f"k{position}", incident), channel, position, NOW + timedelta(seconds=due))


def test_oldest_of_each_incident_is_sendable_when_more_wait():
    waiting = [pending(3), pending(1), pending(2, incident="i2"), pending(4, channel="webhook")]
    assert [one.position for one in sendable(waiting, now=NOW)] == [1, 2, 4]


def test_nothing_overtakes_when_the_oldest_is_not_due():
    waiting = [pending(1, due=10), pending(2), pending(3, incident="i2")]
    assert [one.position for one in sendable(waiting, now=NOW)] == [3]
    assert [one.position for one in sendable(waiting, now=NOW + timedelta(seconds=10))] == [1, 3]


@pytest.mark.parametrize(("seconds", "dead"), [(899, False), (900, True), (5000, True)])
def test_channel_is_dead_when_it_failed_for_long(seconds, dead):
    assert is_dead(NOW - timedelta(seconds=seconds), now=NOW, config=RetryConfig(dead_after_seconds=900)) is dead
    assert not is_dead(None, now=NOW, config=RetryConfig())


def test_dead_channel_is_told_once_an_outage_through_the_others():
    first, again = (
        dead_channel_alert("webhook", failing_since=NOW, reason="refused", now=NOW + timedelta(minutes=m))
        for m in (15, 20)
    )
    assert first.key == again.key
    assert "webhook is dead" in first.title
    assert "refused" in first.text
    assert first.key != dead_channel_alert("webhook", failing_since=NOW + timedelta(1), reason="x", now=NOW).key
    assert others(["log", "webhook"], dead="webhook") == ("log",)
