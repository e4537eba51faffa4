"""A client cheap enough to share two cores with what it measures: raw sockets, prebuilt bytes, little parsing.

A closed loop: each connection sends its next request on the answer to the last. `open_loop` has the other kind.
"""

import asyncio
import time
from array import array
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import uvloop

from benchmarks.serving.figures import quantile

T = TypeVar("T")
LOST = 0
"""Status of a request whose connection ended, or could not be made, before its answer was complete."""

OnAnswer = Callable[[int, bytes], None]
_CONNECT_SECONDS = 5.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def http(method: str, path: str, body: bytes = b"", *, host: str = "127.0.0.1", headers: str = "") -> bytes:
    """Return the bytes of a request of HTTP/1.1; `headers` are whole lines, each with its line break."""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{kind}{headers}\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parts = bytearray()
        self._body_start = 0
        self._end = 0
        self._on_answer: OnAnswer | None = None
        self.answered = 0
        """Requests that were answered; a connection that was used may be closed by its server at any moment."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is not derived from it

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def port(self) -> int:
        """This end's port."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def send(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request; `on_answer` gets the status, or LOST, and the body."""
        assert self._on_answer is None, "a connection takes one request at a time"
        self._on_answer = on_answer
        if self._transport is None or self._transport.is_closing():
            self._answer(LOST, b"")
            return
        self._transport.write(request)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its answer."""
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def resolve(status: int, body: bytes) -> None:
            if not future.done():
                future.set_result((status, body))

        self.send(request, resolve)
        return await future

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Collect the answer; announced lengths and chunks end it."""
        parts = self._parts
        parts += data
        if not self._body_start:
            head_end = parts.find(b"\r\n\r\n")
            if head_end < 0:
                return
            self._body_start = head_end + 4
            self._end = self._body_start + _announced(bytes(parts[:head_end]).lower())
        if self._end < self._body_start:  # in chunks
            if not parts.endswith(b"0\r\n\r\n"):
                return
        elif len(parts) < self._end:
            return
        status, body = int(parts[9:12]), bytes(parts[self._body_start :])
        must_close = b"connection: close" in parts[: self._body_start].lower()
        parts.clear()
        self._body_start = 0
        self.answered += 1
        if must_close:
            self.close()
        self._answer(status, body)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        self._answer(LOST, b"")

    def _answer(self, status: int, body: bytes) -> None:
        waiting, self._on_answer = self._on_answer, None
        if waiting is not None:
            waiting(status, body)


def _announced(head: bytes) -> int:
    """Return the length of the body, or -1 where it comes in chunks."""
    start = head.find(b"content-length:")
    if start < 0:
        return -1 if b"transfer-encoding: chunked" in head else 0
    return int(head[start + 15 :].split(b"\r\n", 1)[0])


async def connect(port: int) -> Connection:
    """Open a connection to a port of this machine.

    Raises:
        OSError: Nothing listens there.
        TimeoutError: Nothing accepted it within 5 s.
    """
    loop = asyncio.get_running_loop()
    made = loop.create_connection(Connection, "127.0.0.1", port)
    _, connection = await asyncio.wait_for(made, _CONNECT_SECONDS)
    return connection


@dataclass
class Load:
    """What a client saw.

    Attributes:
        seconds: Latency of each request, in the order in which they were due.
        statuses: Status of each; 0 where no answer came.
        wall_seconds: From the first request to the last answer.
        client_cpu_seconds: Processor time of the client meanwhile.
        retried: Requests that were sent a second time, since their used connection closed before any answer.
        late_seconds: How late the client itself sent each request; a part of its latency.
        feedback_seconds: Latency of each follow-up.
        feedback_statuses: Status of each follow-up.
    """

    seconds: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: "array[int]" = field(default_factory=lambda: array("H"))
    wall_seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    retried: int = 0
    late_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    feedback_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    feedback_statuses: "array[int]" = field(default_factory=lambda: array("H"))

    @property
    def requests(self) -> int:
        """How many requests were sent, follow-ups not counted."""
        return len(self.statuses)

    @property
    def failed(self) -> int:
        """Requests and follow-ups that were not answered with 200."""
        return sum(status != 200 for status in (*self.statuses, *self.feedback_statuses))

    @property
    def rate(self) -> float:
        """Requests answered with 200, a second."""
        return self.statuses.count(200) / self.wall_seconds

    @property
    def client_share(self) -> float:
        """Share of one core that the client took."""
        return self.client_cpu_seconds / self.wall_seconds

    def milliseconds(self, share: float, *, status: int | None = None) -> float:
        """Return a quantile of the latency in milliseconds, of all requests or of those with one status."""
        chosen = (
            seconds
            for seconds, found in zip(self.seconds, self.statuses, strict=True)
            if status is None or found == status
        )
        return quantile(list(chosen), share) * 1e3


async def closed_loop(port: int, requests: Sequence[bytes], *, connections: int, total: int) -> Load:
    """Send `total` requests over so many connections, each as fast as it is answered; requests come round again."""
    load = Load(array("d", bytes(8 * total)), array("H", bytes(2 * total)))
    opened = [await connect(port) for _ in range(connections)]
    numbers = iter(range(total))
    done = asyncio.Event()
    open_lanes = connections

    def step(connection: Connection) -> None:
        nonlocal open_lanes
        number = next(numbers, None)
        if number is None:
            open_lanes -= 1
            if not open_lanes:
                done.set()
            return
        began = time.perf_counter()

        def answered(status: int, _body: bytes) -> None:
            load.seconds[number] = time.perf_counter() - began
            load.statuses[number] = status
            step(connection)

        connection.send(requests[number % len(requests)], answered)

    cpu, began = time.process_time(), time.perf_counter()
    for connection in opened:
        step(connection)
    await done.wait()
    load.wall_seconds, load.client_cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    for connection in opened:
        connection.close()
    return load
