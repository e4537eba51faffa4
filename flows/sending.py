"""Sending what is due: each channel by itself, several alerts at once, those of one incident in order.

It knows no Prefect: the sender of `everfeed up` and the flow `deliver` both work with it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from secrets import SystemRandom
from threading import Event, Lock

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from flows.clock import utc_now
from infra.outbox import Delivery, Fate, Outbox, Settlement
from infra.settings import Settings
from monitoring.alerts.alert import Alert
from monitoring.alerts.channels import Channel
from monitoring.alerts.delivery import Attempt, Chance, Outcome, Pace, RetryConfig, attempt, retry_at

_log = logging.getLogger(__name__)
_ALERTS = TypeAdapter(Alert)
_FATES = {Outcome.DELIVERED: Fate.DELIVERED, Outcome.RETRY: Fate.FAILED, Outcome.REFUSED: Fate.REFUSED}
_NEVER = Event()
_SMOOTHING = 0.2

Clock = Callable[[], datetime]


class SendConfig(BaseModel):
    """How much is sent at once, and how patiently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lanes: int = Field(8, ge=1, le=64)
    """Most alerts under way at once on one channel, each of another incident."""
    lane_seconds: float = Field(0.02, gt=0)
    """One more of them for each such time that an answer takes. What is under way when the process is killed may be
    sent twice, so a channel that answers at once gets one after the other."""
    batch: int = Field(32, ge=1)
    """Alerts taken from the outbox at once."""
    lease_seconds: float = Field(180, gt=0)
    """How long other senders leave them alone: longer than a batch of time-outs takes."""
    retry: RetryConfig = RetryConfig()


class ChannelSender:
    """Sends what is due on one channel, and rests when the channel does not answer.

    Args:
        name: Name of the channel.
        channel: Where it goes.
        outbox: Where it waits.
        config: How much at once.
        clock: The present.
        rng: Chance of the jitter.
        writing: Held while the outbox is written, so that threads of one process do not wait for SQLite's lock, which
            they would look at only every few milliseconds.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        outbox: Outbox,
        *,
        config: SendConfig,
        clock: Clock,
        rng: Chance,
        writing: AbstractContextManager[object],
    ) -> None:
        self.name = name
        self.pace = Pace()
        self._channel = channel
        self._outbox = outbox
        self._config = config
        self._clock = clock
        self._rng = rng
        self._writing = writing
        self._answer_seconds = 0.0
        self._pool = ThreadPoolExecutor(config.lanes, thread_name_prefix=f"lane-{name}")

    def drain(self, stop: Event = _NEVER) -> int:
        """Send until nothing is due, the channel rests, or `stop` is set; return how many alerts it took."""
        taken = 0
        while not stop.is_set() and not self.pace.is_resting(self._clock()):
            batch = self._lease()
            if not batch:
                break
            taken += self._send(batch, stop)
        return taken

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    def _lease(self) -> list[Delivery]:
        now = self._clock()
        if not self._outbox.has_due(now=now, channel=self.name):
            return []
        limit = 1 if self.pace.is_probing(self._config.retry) else self._config.batch
        with self._writing:
            return self._outbox.due(
                now=now, limit=limit, lease_seconds=self._config.lease_seconds, channels=[self.name]
            )

    def _send(self, batch: Sequence[Delivery], stop: Event) -> int:
        """Send a batch, as many at once as it takes; each result is noted before the next one is sent in its place."""
        waiting = list(reversed(batch))
        under_way: dict[Future[Attempt], Delivery] = {}
        taken = 0
        while waiting or under_way:
            if stop.is_set() or self.pace.is_resting(self._clock()):
                self._note([Settlement(delivery, Fate.UNTRIED) for delivery in waiting])
                waiting.clear()
            ended = self._next(waiting, under_way)
            taken += sum(result.outcome is Outcome.DELIVERED for _, result in ended)
            self._note([self._settlement(delivery, result) for delivery, result in ended])
        return taken

    def _next(
        self, waiting: list[Delivery], under_way: dict[Future[Attempt], Delivery]
    ) -> list[tuple[Delivery, Attempt]]:
        """Start what there is room for, and return what has ended; one alone needs no thread of its own."""
        lanes = min(self._config.lanes, 1 + int(self._answer_seconds / self._config.lane_seconds))
        if lanes == 1 and waiting and not under_way:
            delivery = waiting.pop()
            return [(delivery, self._attempt(delivery))]
        while waiting and len(under_way) < lanes:
            delivery = waiting.pop()
            under_way[self._pool.submit(self._attempt, delivery)] = delivery
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        return [(under_way.pop(future), future.result()) for future in done]

    def _attempt(self, delivery: Delivery) -> Attempt:
        try:
            alert = _ALERTS.validate_python(dict(delivery.document))
        except ValidationError as error:
            return Attempt(Outcome.REFUSED, f"the stored alert cannot be read: {error.error_count()} errors")
        began = time.monotonic()
        result = attempt(alert, self._channel)
        self._answer_seconds += _SMOOTHING * (time.monotonic() - began - self._answer_seconds)
        return result

    def _settlement(self, delivery: Delivery, result: Attempt) -> Settlement:
        now, retry = self._clock(), self._config.retry
        self.pace = self.pace.after(result, now=now, config=retry, rng=self._rng)
        if result.outcome is Outcome.DELIVERED:
            return Settlement(delivery, Fate.DELIVERED)
        again = retry_at(
            delivery.attempts + 1, now=now, config=retry, rng=self._rng, asked_seconds=result.retry_after_seconds
        )
        _log.warning("alert not delivered: channel %s, key %s, %s", self.name, delivery.key, result.reason)
        return Settlement(delivery, _FATES[result.outcome], result.reason, again)

    def _note(self, settlements: Sequence[Settlement]) -> None:
        if settlements:
            with self._writing:
                self._outbox.settle(settlements, now=self._clock())


def sender_lock(settings: Settings) -> Path:
    """Return the lock file that every sender of a home shares while it sends."""
    return settings.root / "sender.lock"


def senders_of(
    channels: Mapping[str, Channel],
    outbox: Outbox,
    *,
    config: SendConfig = SendConfig(),  # noqa: B008 - frozen
    clock: Clock = utc_now,
    rng: Chance | None = None,
) -> list[ChannelSender]:
    """Return one sender a channel; they share one lock around what they write."""
    writing, chance = Lock(), rng or SystemRandom()
    return [
        ChannelSender(name, channel, outbox, config=config, clock=clock, rng=chance, writing=writing)
        for name, channel in channels.items()
    ]
