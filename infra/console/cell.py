"""The last answer of something slow: shown at once, and renewed behind the pages that ask for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from recmodels.errors import EverfeedError

T = TypeVar("T")

_PATIENCE_SECONDS = 0.2
"""How long the first page waits for an answer that was never there before."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What was answered last.

    Attributes:
        value: The newest good answer; None before the first.
        problem: Why the newest attempt gave none, and what to do; empty where it did.
        at: When `value` was answered.
        is_asked: An attempt has ended, well or badly.
    """

    value: T | None = None
    problem: str = ""
    at: datetime | None = None
    is_asked: bool = False


class Cell(Generic[T]):
    """One thing that is asked for again and again, by one task at a time.

    Args:
        ask: Asks for it; an `EverfeedError` is a problem to show.
        every_seconds: Age from which an answer is renewed.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, every_seconds: float) -> None:
        self._ask = ask
        self._every_seconds = every_seconds
        self._answer: Answer[T] = Answer()
        self._asked_at = -float("inf")
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> Answer[T]:
        """Return the last answer, and have it renewed where it is old; only a first one is waited for, shortly."""
        is_old = time.monotonic() - self._asked_at >= self._every_seconds
        if is_old and (self._task is None or self._task.done()):
            self._asked_at = time.monotonic()
            self._task = asyncio.create_task(self._renew())
        if not self._answer.is_asked and self._task is not None:
            await asyncio.wait({self._task}, timeout=_PATIENCE_SECONDS)
        return self._answer

    def forget(self) -> None:
        """Have the next reading ask anew, and wait for it: what was answered last has just been changed."""
        self._asked_at = -float("inf")
        self._answer = Answer(self._answer.value, self._answer.problem, self._answer.at)

    async def close(self) -> None:
        """End the attempt that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _renew(self) -> None:
        try:
            value = await self._ask()
        except EverfeedError as error:
            self._answer = Answer(self._answer.value, str(error), self._answer.at, is_asked=True)
        else:
            self._answer = Answer(value, "", datetime.now(UTC), is_asked=True)
