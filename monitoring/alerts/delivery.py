"""Delivery: when to try again, what may be sent now, when a channel is dead. Pure: the outbox keeps the state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import numpy as np
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
    dead_after_seconds: float = Field(900, gt=0)
    """A channel that has failed for this long without one success is dead: an alert says so through the others."""


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
    """

    outcome: Outcome
    reason: str = ""
    is_ambiguous: bool = False


@dataclass(frozen=True)
class Pending:
    """An alert that waits for a channel.

    Attributes:
        alert: What is sent.
        channel: Name of the channel.
        position: Place in the outbox: smaller is older.
        due_at: Not before.
        attempts: Failed attempts so far.
    """

    alert: Alert
    channel: str
    position: int
    due_at: datetime
    attempts: int = 0


def retry_seconds(attempts: int, *, config: RetryConfig, rng: np.random.Generator) -> float:
    """Return how long to wait after the `attempts`-th failure (from 1), in seconds."""
    if attempts < 1:
        raise ValueError(f"attempts is {attempts!r}; a retry follows at least one failure.")
    exponent = min(attempts - 1, 64)
    wait = min(config.cap_seconds, config.first_seconds * config.factor**exponent)
    return wait * (1 - config.jitter * float(rng.random()))


def retry_at(attempts: int, *, now: datetime, config: RetryConfig, rng: np.random.Generator) -> datetime:
    """Return when to try again after the `attempts`-th failure."""
    return now + timedelta(seconds=retry_seconds(attempts, config=config, rng=rng))


def attempt(alert: Alert, channel: Sink) -> Attempt:
    """Try once to deliver an alert; a failure is an answer, not an exception."""
    try:
        channel.send(alert)
    except DeliveryError as error:
        outcome = Outcome.RETRY if error.is_retryable else Outcome.REFUSED
        return Attempt(outcome, error.reason, error.is_ambiguous)
    return Attempt(Outcome.DELIVERED)


def sendable(pending: Iterable[Pending], *, now: datetime) -> list[Pending]:
    """Return what may be sent now: due, and the oldest of its incident on its channel, so that order is kept."""
    oldest: dict[tuple[str, str], Pending] = {}
    for one in sorted(pending, key=lambda one: one.position):
        oldest.setdefault((one.channel, one.alert.incident_id), one)
    return [one for one in oldest.values() if one.due_at <= now]


def is_dead(failing_since: datetime | None, *, now: datetime, config: RetryConfig) -> bool:
    """Return whether a channel that has only failed since `failing_since` counts as dead."""
    return failing_since is not None and now - failing_since >= timedelta(seconds=config.dead_after_seconds)


def dead_channel_alert(channel: str, *, failing_since: datetime, reason: str, now: datetime) -> Alert:
    """Return the alert that goes out through the other channels; its key is one a channel and outage."""
    outage = f"{channel}-{failing_since:%Y%m%dT%H%M%S}"
    return Alert(
        key=f"channel-{outage}-opened",
        incident_id=f"channel-{outage}",
        transition="opened",
        title=f"Alert channel {channel} is dead",
        text=(
            f"Nothing was delivered through {channel} since {failing_since:%Y-%m-%d %H:%M:%S} UTC: {reason}. "
            "Its alerts wait and are sent when it answers again. Check its address and its token."
        ),
        severity="critical",
        figure="",
        size=None,
        since=failing_since,
        created_at=now,
    )


def others(channels: Sequence[str], *, dead: str) -> tuple[str, ...]:
    """Return the channels that tell of a dead one: all others."""
    return tuple(name for name in channels if name != dead)
