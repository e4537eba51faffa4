"""Which requests are let in, and when: a bound on what waits, a slice of the event loop at a time, a fair share a lane.

An overloaded server that takes everything answers nothing in time. A lane therefore holds no more requests than it can
answer within a set time, at the rate at which it does answer, and refuses the rest before their bodies are read. What
was let in runs in slices of a few milliseconds, between which the loop reads its sockets: a refusal waits for a slice,
not for the queue. The lanes take turns, so that feedback is not starved by recommendations, nor they by it.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from infra.serving.calls import Answer
from infra.serving.metrics import Counter
from infra.serving.problems import busy

SLICE_SECONDS = 0.004
"""How long requests that were let in run before the loop reads its sockets again."""

TOGETHER = 16
"""At least so many run in a slice where they wait: ranked together they cost a third of what each costs alone, and a
lane that let them in one by one would never learn that."""

TOGETHER_REFUSING = 5
"""The same while requests are refused, which wait for the slice to end."""

_REFUSING_SECONDS = 1.0
"""How long after a refusal others are to be expected."""

LATEST_SECONDS = 0.5
"""A request that waited longer for its turn is refused: whoever asked has given up."""

STANDING_SECONDS = 0.2
"""A queue that was never empty for so long is an overload; a shorter one is a burst, or a pause of the machine."""

_WINDOW_SECONDS = 0.05
"""Busy time over which answers are counted: requests ranked together leave together, so single gaps say nothing."""

_WEIGHT = 0.3
"""Share of the newest window in the running mean of the time an answer takes."""

_LEAST_SECONDS = 1e-5
"""No answer is cheaper than its HTTP."""

_SLOWEST = 4.0
"""A window counts as at most so many times the mean; a pause of the machine is no measure of the lane."""


class Lane:
    """Requests of one kind.

    While its queue is empty now and then, a lane takes what it can answer in `burst_seconds`; once the queue stands, no
    more than it can answer in `wait_seconds`, so that those who are let in are answered soon.

    Args:
        name: In metrics and messages.
        wait_seconds: Bound on the wait in an overload.
        burst_seconds: Bound on the wait otherwise.
        least: So many are let in however slow the answers are.

    Source: Maurer, "Fail at Scale", ACM Queue 13(8), 2015, adaptive timeouts after controlled delay; here they bound
        the length of the queue, so that a refusal comes at once instead of after the timeout.
    """

    def __init__(self, name: str, *, wait_seconds: float, burst_seconds: float, least: int) -> None:
        self.name = name
        self.inside = 0
        """Requests that were let in and are not answered."""
        self.seconds = wait_seconds / least
        """Time from one answer to the next while there is something to answer."""
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.refusal: Answer = busy(f"there are more {name} requests than can be answered in time").answer()
        self._wait_seconds = wait_seconds
        self._burst_seconds = burst_seconds
        self._least = least
        self._busy_since = 0.0
        self._busy_seconds = 0.0
        self._answers = 0
        self._empty_at = 0.0

    def is_full(self, now: float) -> bool:
        """Whether one request more would wait too long.

        By Little's law a lane that answers one request each `seconds` makes the n-th in it wait `n * seconds`.
        """
        if self.inside < self._least:
            return False
        is_standing = now - self._empty_at > STANDING_SECONDS
        return self.inside * self.seconds >= (self._wait_seconds if is_standing else self._burst_seconds)

    def enter(self, now: float) -> None:
        """Count a request in."""
        if not self.inside:
            self._empty_at = self._busy_since = now
        self.inside += 1

    def leave(self, now: float) -> None:
        """Count a request out, and learn how long an answer takes while something is inside."""
        self.inside -= 1
        self._answers += 1
        self._busy_seconds += now - self._busy_since
        self._busy_since = now
        if self._busy_seconds >= _WINDOW_SECONDS:
            measured = min(self._busy_seconds / self._answers, _SLOWEST * self.seconds)
            self.seconds = max(self.seconds + _WEIGHT * (measured - self.seconds), _LEAST_SECONDS)
            self._busy_seconds, self._answers = 0.0, 0

    def release(self, count: int) -> None:
        """Let the `count` that waited longest run."""
        while count and self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():  # else its request was given up
                turn.set_result(None)
                count -= 1


class Admission:
    """Lets requests run in turns.

    Args:
        lanes: All lanes; each gets an equal share of a slice while it has something to run.
        refused: Counts refusals by lane and reason: ``full`` or ``late``.
        together: Requests of a lane that run in a slice at least, where they wait and nobody is refused.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        refused: Counter,
        together: int = TOGETHER,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.lanes = tuple(lanes)
        self._refused = refused
        self._together = together
        self._clock = clock
        self._slice_ends = 0.0
        self._refused_at = -math.inf
        self._is_running = False
        self.is_draining = False
        """The process is on its way out: it answers what comes on open connections, and asks for no more."""

    def refusal(self, lane: Lane) -> Answer | None:
        """Return the refusal of one more request, or None where there is room for it."""
        now = self._clock()
        if not lane.is_full(now):
            return None
        self._refused_at = now
        self._refused.add(lane.name, "full")
        return lane.refusal

    async def enter(self, lane: Lane) -> None:
        """Count a request in and wait for its turn; the caller calls `leave`, whatever happens.

        Raises:
            RefusedError: 503, its turn came too late.
        """
        now = self._clock()
        lane.enter(now)
        if not self._is_running:
            self._is_running = True
            self._slice_ends = now + SLICE_SECONDS
            asyncio.get_running_loop().call_soon(self._next)
            return
        if now < self._slice_ends and not lane.waiting:
            return
        turn = asyncio.get_running_loop().create_future()
        lane.waiting.append(turn)
        await turn
        if self._clock() - now > LATEST_SECONDS:
            self._refused.add(lane.name, "late")
            raise busy("the request waited too long for its turn")

    def leave(self, lane: Lane) -> None:
        """Count a request out."""
        lane.leave(self._clock())

    def _next(self) -> None:
        """Begin the next slice, once in each round of the loop while there is something to run."""
        waiting = [lane for lane in self.lanes if lane.waiting]
        if not waiting:
            self._is_running = False
            return
        now = self._clock()
        self._slice_ends = now + SLICE_SECONDS
        is_refusing = now - self._refused_at <= _REFUSING_SECONDS
        together = min(self._together, TOGETHER_REFUSING) if is_refusing else self._together
        for lane in waiting:
            lane.release(max(together, int(SLICE_SECONDS / len(waiting) / lane.seconds)))
        asyncio.get_running_loop().call_soon(self._next)
