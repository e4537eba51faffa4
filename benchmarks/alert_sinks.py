"""Far ends of alert channels on loopback that misbehave by plan and remember every copy that reached them."""

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

_FAILURES = {"500": b"500 Internal Server Error", "429": b"429 Too Many Requests", "busy": b"429 Too Many Requests"}


@dataclass(frozen=True)
class Faults:
    """Shares of the requests that go wrong; the rest is taken and answered 204.

    Attributes:
        error: Answered 500, not taken.
        limited: Answered 429, not taken.
        busy: Answered 429 with ``Retry-After: 1``, not taken.
        cut_before: Connection reset before the alert is taken.
        cut_after: Taken, then the connection is reset.
        hang: Taken, then no answer in time.
        slow: Taken, and answered after 50 ms.
    """

    error: float = 0.0
    limited: float = 0.0
    busy: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    hang: float = 0.0
    slow: float = 0.0

    def names(self) -> tuple[str, ...]:
        """Return what may happen, in the order of `shares`."""
        return ("500", "429", "busy", "cut_before", "cut_after", "hang", "slow", "ok")

    def shares(self) -> list[float]:
        """Return how often each happens; they add up to 1."""
        bad = [self.error, self.limited, self.busy, self.cut_before, self.cut_after, self.hang, self.slow]
        return [*bad, 1 - sum(bad)]


@dataclass
class Sink:
    """What a sink got.

    Attributes:
        port: Where it listens.
        taken: Keys in the order in which copies were taken.
        ambiguous: How often the sender could not know what became of a key.
        answers: How often each thing happened.
        is_down: Refuse every connection.
    """

    port: int = 0
    taken: list[str] = field(default_factory=list)
    ambiguous: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    is_down: bool = False

    @property
    def url(self) -> str:
        """Address to post to."""
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def http_sink(faults: Faults = Faults(), *, seed: int = 0, seconds: float = 0.0) -> Iterator[Sink]:
    """Run an HTTP sink in a thread.

    Args:
        faults: What goes wrong, and how often.
        seed: Source of chance.
        seconds: How long it thinks before each answer.
    """
    sink, rng = Sink(), np.random.default_rng(seed)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not sink.is_down and await _answer(reader, writer, sink, _draw(rng, faults), seconds):
                pass
        writer.close()

    with _in_a_thread(lambda: asyncio.start_server(serve, "127.0.0.1", 0)) as port:
        sink.port = port
        yield sink


def _draw(rng: np.random.Generator, faults: Faults) -> str:
    return str(rng.choice(faults.names(), p=faults.shares()))


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sink: Sink, event: str, seconds: float
) -> bool:
    """Read one request and do to it what was drawn; return whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    lowered = {name.lower(): value.decode() for name, value in headers.items()}
    await reader.readexactly(int(lowered[b"content-length"]))
    key = lowered[b"idempotency-key"]
    if sink.is_down:
        _reset(writer)
        return False
    sink.answers[event] += 1
    if event in _FAILURES:
        wait = b"Retry-After: 1\r\n" if event == "busy" else b""
        writer.write(b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n" % (_FAILURES[event], wait))
        return True
    if event != "cut_before":
        sink.taken.append(key)
    if event in {"cut_before", "cut_after", "hang"}:
        sink.ambiguous[key] += 1
        if event == "hang":
            await asyncio.sleep(5)
        _reset(writer)
        return False
    if event == "slow" or seconds:
        await asyncio.sleep(max(seconds, 0.05 if event == "slow" else 0.0))
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def _in_a_thread(start: Callable[[], object]) -> Iterator[int]:
    """Run an asyncio server in a thread, and yield its port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(start())  # type: ignore[arg-type]  # an awaitable, which runs as well
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
