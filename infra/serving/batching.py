"""Requests of one turn of the event loop are ranked together: one encoding and one search for all of them.

Nothing waits for company. The first request that finds an empty list schedules the ranking for the loop's next turn; it
takes what stands there by then, which is one request on a quiet gateway and many on a busy one. While a model ranks in
its thread, what arrives queues for the next batch.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import thread_time

import numpy as np

from recmodels.ranker import Ranker
from recmodels.retrieval.newcomers import Newcomers
from recmodels.slates import Ask, Slate

DEADLINE_SECONDS = 0.25
"""How long a model may take before the popular items are answered instead."""

BATCH_LIMIT = 64
"""Most requests that are ranked together."""

INLINE_LIMIT = 16
"""The same on the event loop: each costs little less in a larger batch, and refusals wait for a batch to end."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What holds for every request of a batch.

    Attributes:
        blocked: Items that nobody may see.
        newcomers: Items that the bundle does not know.
    """

    blocked: frozenset[str] = frozenset()
    newcomers: Newcomers | None = None

    def is_same(self, other: "Standing") -> bool:
        """Return whether both hold the very same objects."""
        return self.blocked is other.blocked and self.newcomers is other.newcomers


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    ask: Ask
    standing: Standing
    answer: asyncio.Future[Slate]

    def resolve(self, outcome: Slate | Exception) -> None:
        if self.answer.done():
            return  # its deadline passed, or the client gave up
        if isinstance(outcome, Slate):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


@dataclass(eq=False)
class Batcher:
    """Collects the requests for one model. It belongs to the event loop's thread.

    Attributes:
        ranker: The model.
        runs_inline: Rank on the event loop, since the detour through a thread would take longer than the ranking; a
            batch that computes for longer than the deadline there makes it False for good.
        deadline_seconds: How long a request waits for its list.
        limit: Most requests of a batch.
        inline_limit: Most requests of a batch on the event loop, which answers nobody meanwhile.
    """

    ranker: Ranker
    runs_inline: bool
    deadline_seconds: float = DEADLINE_SECONDS
    limit: int = BATCH_LIMIT
    inline_limit: int = INLINE_LIMIT
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ranker"))
    """Its thread starts with the first ranking that needs it, and ends when nothing refers to the model any more."""
    _waiting: list[_Waiting] = field(default_factory=list)
    _flight: "Future[list[Slate | Exception]] | None" = None

    async def rank(self, ask: Ask, *, standing: Standing) -> Slate:
        """Return the list of one request.

        Raises:
            TimeoutError: The deadline passed; a thread finishes what it does, for nobody.
            Exception: Whatever the model raises when it ranks for this request alone.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(ask, standing, loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            loop.call_soon(self._flush, loop)
        timer = loop.call_later(self.deadline_seconds, waiting.resolve, TimeoutError("the model is late"))
        try:
            return await waiting.answer
        except BaseException:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise
        finally:
            timer.cancel()

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._flight is not None and not self._flight.done():
            return  # it flushes when it lands
        batch = self._take()
        if not batch:
            return
        if self.runs_inline:
            self._rank_here(batch)
            if self._waiting:
                loop.call_soon(self._flush, loop)
            return
        self._flight = self.executor.submit(rank_together, self.ranker, [one.ask for one in batch], batch[0].standing)
        asyncio.wrap_future(self._flight, loop=loop).add_done_callback(partial(self._land, batch, loop))

    def _take(self) -> list[_Waiting]:
        """Return the next batch: those who still wait, up to the limit, as long as the same holds for all of them."""
        queued = [one for one in self._waiting if not one.answer.done()]
        size, limit = 0, self.inline_limit if self.runs_inline else self.limit
        while size < min(len(queued), limit) and queued[size].standing.is_same(queued[0].standing):
            size += 1
        self._waiting = queued[size:]
        return queued[:size]

    def _rank_here(self, batch: Sequence[_Waiting]) -> None:
        began = thread_time()
        outcomes = rank_together(self.ranker, [one.ask for one in batch], batch[0].standing)
        if thread_time() - began > self.deadline_seconds:
            self.runs_inline = False
        for one, outcome in zip(batch, outcomes, strict=True):
            one.resolve(outcome)

    def _land(
        self,
        batch: Sequence[_Waiting],
        loop: asyncio.AbstractEventLoop,
        flight: "asyncio.Future[list[Slate | Exception]]",
    ) -> None:
        for one, outcome in zip(batch, flight.result(), strict=True):
            one.resolve(outcome)
        self._flush(loop)


def make_slates(ranker: Ranker, asks: Sequence[Ask], standing: Standing) -> list[Slate]:
    """Return one list an ask; scores that overflow are told by the list's flag, not by warnings.

    Raises:
        Exception: Whatever the model raises.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return ranker.recommend_many(asks, blocked=standing.blocked, newcomers=standing.newcomers)


def rank_together(ranker: Ranker, asks: Sequence[Ask], standing: Standing) -> list[Slate | Exception]:
    """Return a list or an error for each ask; when the batch fails each is tried alone, so that none spoils the others.

    Args:
        ranker: The model.
        asks: At least one.
        standing: What holds for all of them.
    """
    try:
        return [*make_slates(ranker, asks, standing)]
    except Exception as error:  # noqa: BLE001 - a door: whatever a model raises, its askers get popular items
        if len(asks) == 1:
            return [error]
    return [rank_together(ranker, [ask], standing)[0] for ask in asks]
