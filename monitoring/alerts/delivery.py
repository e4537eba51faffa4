"""Delivery: when to try again, and when to leave a channel alone. Pure: the outbox keeps what waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitoring.alerts.alert import Alert, DeliveryError


class RetryConfig(BaseModel):
    """How patiently a delivery is tried again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_seconds: float = Field(1, gt=0)
    """Wait after the first failure."""
    factor: float = Field(2, ge=1)
    """Each further wait is this many times longer."""
    cap_seconds: float = Field(30, gt=0)
    """Longest wait, so that a sink that comes back is caught up within a minute."""
    jitter: float = Field(0.25, ge=0, lt=1)
    """Each wait is shortened by up to this part at random, so that a storm does not come back as one."""
    trips: int = Field(3, ge=1)
    """After this many failures in a row a channel rests; then one alert probes it before the others follow."""
    longest_request_seconds: float = Field(3600, gt=0)
    """A sink that asks to be left alone for longer is asked again after this time."""


class Chance(Protocol):
    """A source of numbers in [0, 1)."""

    def random(self) -> float:
        """Return the next number."""
        ...


class Sink(Protocol):
    """What a channel is to delivery."""

    def send(self, alert: Alert) -> None:
        """Deliver, or raise DeliveryError."""
        ...


class Outcome(StrEnum):
    """How an attempt ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True)
class Attempt:
    """One attempt to deliver.

    Attributes:
        outcome: How it ended.
        reason: Why it failed, or empty.
        is_ambiguous: The alert may have arrived although the attempt failed.
        retry_after_seconds: How long the sink asked to be left alone, or None.
    """

    outcome: Outcome
    reason: str = ""
    is_ambiguous: bool = False
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Pace:
    """How fast a channel is used just now.

    Attributes:
        failures: Failures in a row.
        resumes_at: Nothing is sent before; None when it is not resting.
    """

    failures: int = 0
    resumes_at: datetime | None = None

    def is_resting(self, now: datetime) -> bool:
        """Return whether the channel is left alone at `now`."""
        return self.resumes_at is not None and now < self.resumes_at

    def is_probing(self, config: RetryConfig) -> bool:
        """Return whether one alert alone should be tried next."""
        return self.failures >= config.trips

    def after(self, attempt: Attempt, *, now: datetime, config: RetryConfig, rng: Chance) -> "Pace":
        """Return the pace after an attempt; a success brings the full pace back once the present rest is over."""
        if attempt.outcome is not Outcome.RETRY:
            return Pace(0, self.resumes_at if self.is_resting(now) else None)
        failures = self.failures + 1
        waits = [self.resumes_at] if self.resumes_at is not None else []
        if attempt.retry_after_seconds is not None:
            waits.append(now + timedelta(seconds=min(attempt.retry_after_seconds, config.longest_request_seconds)))
        elif failures >= config.trips:
            waits.append(now + timedelta(seconds=retry_seconds(failures - config.trips + 1, config=config, rng=rng)))
        return Pace(failures, max(waits, default=None))


def retry_seconds(attempts: int, *, config: RetryConfig, rng: Chance) -> float:
    """Return how long to wait after the `attempts`-th failure (from 1), in seconds."""
    if attempts < 1:
        raise ValueError(f"attempts is {attempts!r}; a retry follows at least one failure.")
    exponent = min(attempts - 1, 64)
    wait = min(config.cap_seconds, config.first_seconds * config.factor**exponent)
    return wait * (1 - config.jitter * rng.random())


def retry_at(
    attempts: int, *, now: datetime, config: RetryConfig, rng: Chance, asked_seconds: float | None = None
) -> datetime:
    """Return when to try again after the `attempts`-th failure; never before the sink asked to be tried again."""
    wait = retry_seconds(attempts, config=config, rng=rng)
    return now + timedelta(seconds=max(wait, min(asked_seconds or 0.0, config.longest_request_seconds)))


def attempt(alert: Alert, channel: Sink) -> Attempt:
    """Try once to deliver an alert; a failure is an answer, not an exception."""
    try:
        channel.send(alert)
    except DeliveryError as error:
        outcome = Outcome.RETRY if error.is_retryable else Outcome.REFUSED
        return Attempt(outcome, error.reason, error.is_ambiguous, error.retry_after_seconds)
    except Exception as error:  # noqa: BLE001 - a door: a plug-in's mistake holds up neither the sender nor a channel
        return Attempt(Outcome.RETRY, f"the channel itself failed: {type(error).__name__}", is_ambiguous=True)
    return Attempt(Outcome.DELIVERED)
