from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from monitoring.alerts import Alert, DeliveryError
from monitoring.alerts.delivery import Attempt, Outcome, Pace, RetryConfig, attempt, retry_at, retry_seconds

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PATIENT = RetryConfig(first_seconds=1, factor=2, cap_seconds=30, jitter=0)
RNG = Random(0)
FAILED = Attempt(Outcome.RETRY, "503")
TOOK = Attempt(Outcome.DELIVERED)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def alert(key="k1", incident="i1") -> Alert:
    return Alert(key, incident, "opened", "title", "text", "warning", "x", 3.0, NOW, NOW)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (1000, 30)])
def test_wait_doubles_up_to_its_cap(attempts, seconds):
    rng = np.random.default_rng(0)
    assert retry_seconds(attempts, config=PATIENT, rng=rng) == seconds
    assert retry_at(attempts, now=NOW, config=PATIENT, rng=rng) == after(seconds)


def test_waits_differ_when_there_is_jitter():
    config = RetryConfig(first_seconds=8, jitter=0.25)
    rng = np.random.default_rng(0)
    waits = np.asarray([retry_seconds(1, config=config, rng=rng) for _ in range(500)])
    assert 6 <= waits.min() < 6.1
    assert 7.9 < waits.max() <= 8


def test_wait_is_refused_when_nothing_failed():
    with pytest.raises(ValueError, match="attempts is 0"):
        retry_seconds(0, config=PATIENT, rng=RNG)


@pytest.mark.parametrize(("asked", "waits"), [(None, 4), (0, 4), (3, 4), (60, 60), (1e9, 3600)])
def test_retry_is_never_before_the_sink_asked_for_it(asked, waits):
    assert retry_at(3, now=NOW, config=PATIENT, rng=RNG, asked_seconds=asked) == after(waits)


class Failing:
    """A sink at the edge of the system: it stands for the network."""

    def __init__(self, error: Exception | None) -> None:
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
            DeliveryError("busy", is_retryable=True, retry_after_seconds=7.0),
            Attempt(Outcome.RETRY, "busy", retry_after_seconds=7.0),
        ),
        (
            DeliveryError("late", is_retryable=True, is_ambiguous=True),
            Attempt(Outcome.RETRY, "late", is_ambiguous=True),
        ),
        (DeliveryError("no such page", is_retryable=False), Attempt(Outcome.REFUSED, "no such page")),
        (
            KeyError("s3cret"),
            Attempt(Outcome.RETRY, "the channel itself failed: KeyError", is_ambiguous=True),
        ),
    ],
)
def test_attempt_answers_when_the_channel_fails(error, expected):
    assert attempt(alert(), Failing(error)) == expected


def paces(*events: tuple[float, Attempt]) -> list[Pace]:
    pace, seen = Pace(), []
    for seconds, result in events:
        pace = pace.after(result, now=after(seconds), config=PATIENT, rng=RNG)
        seen.append(pace)
    return seen


def test_channel_rests_longer_and_longer_when_it_fails_three_times_in_a_row():
    seen = paces((0, FAILED), (0, FAILED), (0, FAILED), (1, FAILED), (3, FAILED))
    assert [pace.resumes_at for pace in seen] == [None, None, after(1), after(3), after(7)]
    assert [pace.is_probing(PATIENT) for pace in seen] == [False, False, True, True, True]
    assert seen[2].is_resting(after(0.9))
    assert not seen[2].is_resting(after(1))


def test_full_pace_is_back_when_a_probe_arrives():
    assert paces((0, FAILED), (0, FAILED), (0, FAILED), (1, TOOK))[-1] == Pace()
    assert paces((0, FAILED), (0, FAILED), (0, Attempt(Outcome.REFUSED)))[-1] == Pace()


def test_failures_far_between_do_not_rest_the_channel():
    assert [pace.failures for pace in paces(*[(0, FAILED), (0, FAILED), (0, TOOK)] * 5)] == [1, 2, 0] * 5


def test_channel_rests_at_once_when_it_asks_for_it_and_a_success_under_way_does_not_end_that():
    busy = Attempt(Outcome.RETRY, "429", retry_after_seconds=60)
    first, second, third = paces((0, busy), (1, TOOK), (60, TOOK))
    assert first == Pace(1, after(60))
    assert second == Pace(0, after(60))
    assert third == Pace()


def test_rest_is_not_shortened_by_a_later_failure():
    assert paces((0, Attempt(Outcome.RETRY, "429", retry_after_seconds=60)), (1, FAILED))[-1].resumes_at == after(60)
