"""Requests on a schedule that was drawn before, whatever the server does.

Latency counts from the scheduled moment, so that a server that stalls cannot hide it by slowing its client down (no
coordinated omission). A request that finds no free connection waits for one, and that counts too.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.client import LOST, Connection, Load, connect

Follow = Callable[[int, bytes], bytes | None]
"""Makes of an answer, by the number of its request, the request that follows it on the same connection, or None."""

_TICK_SECONDS = 0.001  # the resolution of the event loop's timers; a shorter sleep would spin
_PATIENCE_SECONDS = 15.0


def arrivals(rate: float, seconds: float, *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the moments, in seconds from the start, of a Poisson stream."""
    gaps = rng.exponential(1.0 / rate, size=int(rate * seconds * 1.2) + 100)
    moments = np.cumsum(gaps)
    kept: NDArray[np.float64] = moments[moments < seconds]
    return kept


async def open_loop(
    port: int,
    requests: Sequence[bytes],
    due: NDArray[np.float64],
    *,
    follow: Follow | None = None,
    connections: int = 16,
    max_connections: int = 512,
) -> Load:
    """Send one request at each moment of `due`; requests come round again.

    Args:
        port: Of the server.
        requests: Prebuilt bytes.
        due: Seconds from the start, ascending.
        follow: Makes follow-ups, such as feedback.
        connections: Opened before the start.
        max_connections: Opened at most; more requests than this at once wait.
    """
    return await _OpenLoop(port, requests, due, follow, max_connections).run(connections)


@dataclass(slots=True, eq=False)
class _Job:
    """One request.

    Attributes:
        request: Its bytes.
        since: Moment from which its latency counts: when it was due, or for a follow-up when it was made.
        number: Place in the schedule; -1 for a follow-up.
        is_again: It was sent a second time.
    """

    request: bytes
    since: float
    number: int = -1
    is_again: bool = False


class _OpenLoop:
    def __init__(
        self, port: int, requests: Sequence[bytes], due: NDArray[np.float64], follow: Follow | None, limit: int
    ) -> None:
        self._port = port
        self._requests = requests
        self._due = due.tolist()
        self._follow = follow
        self._limit = limit
        self._idle: list[Connection] = []
        self._waiting: deque[_Job] = deque()
        self._num_connections = 0
        self._num_open = len(self._due)
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()
        self._start = 0.0
        size = len(self._due)
        self._load = Load(array("d", bytes(8 * size)), array("H", bytes(2 * size)))

    async def run(self, connections: int) -> Load:
        for connection in await asyncio.gather(*(connect(self._port) for _ in range(connections))):
            self._idle.append(connection)
        self._num_connections = connections
        load, cpu = self._load, time.process_time()
        self._start = time.perf_counter()
        await self._send_all()
        try:
            await asyncio.wait_for(self._done.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            self._give_up()
        load.wall_seconds, load.client_cpu_seconds = time.perf_counter() - self._start, time.process_time() - cpu
        for connection in self._idle:
            connection.close()
        return load

    async def _send_all(self) -> None:
        number, due, requests = 0, self._due, self._requests
        while number < len(due):
            now = time.perf_counter() - self._start
            while number < len(due) and due[number] <= now:
                self._load.late_seconds.append(now - due[number])
                self._dispatch(_Job(requests[number % len(requests)], self._start + due[number], number))
                number += 1
            if number < len(due):
                await asyncio.sleep(max(due[number] - now, _TICK_SECONDS))

    def _dispatch(self, job: _Job) -> None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._send(job, connection)
                return
            self._num_connections -= 1
        if self._num_connections < self._limit:
            self._open_for(job)
        else:
            self._waiting.append(job)

    def _open_for(self, job: _Job) -> None:
        self._num_connections += 1
        task = asyncio.create_task(self._connect_and_send(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_and_send(self, job: _Job) -> None:
        try:
            connection = await connect(self._port)
        except (OSError, TimeoutError):
            self._num_connections -= 1
            self._finish(job, LOST)
        else:
            self._send(job, connection)

    def _send(self, job: _Job, connection: Connection) -> None:
        was_used = connection.answered > 0

        def answered(status: int, body: bytes) -> None:
            if status == LOST and was_used and not job.is_again:
                job.is_again = True  # as every client of HTTP does when a kept connection was closed meanwhile
                self._load.retried += 1
                self._num_connections -= 1
                self._open_for(job)
                return
            after = self._after(job, status, body)
            self._release(connection)
            if after is not None:
                self._dispatch(after)
            self._finish(job, status)

        connection.send(job.request, answered)

    def _after(self, job: _Job, status: int, body: bytes) -> _Job | None:
        if self._follow is None or job.number < 0 or status != 200:
            return None
        request = self._follow(job.number, body)
        if request is None:
            return None
        self._num_open += 1
        return _Job(request, time.perf_counter())

    def _release(self, connection: Connection) -> None:
        if not connection.is_open:
            self._num_connections -= 1
            if self._waiting:
                self._open_for(self._waiting.popleft())
        elif self._waiting:
            self._send(self._waiting.popleft(), connection)
        else:
            self._idle.append(connection)

    def _finish(self, job: _Job, status: int) -> None:
        load, seconds = self._load, time.perf_counter() - job.since
        if job.number < 0:
            load.feedback_seconds.append(seconds)
            load.feedback_statuses.append(status)
        else:
            load.seconds[job.number] = seconds
            load.statuses[job.number] = status
        self._num_open -= 1
        if not self._num_open:
            self._done.set()

    def _give_up(self) -> None:
        """Leave what was never answered as lost, at the time that it has waited."""
        now = time.perf_counter() - self._start
        for number, seconds in enumerate(self._load.seconds):
            if seconds == 0.0:
                self._load.seconds[number] = now - self._due[number]
        for task in self._tasks:
            task.cancel()
