"""A client that keeps connections open and sends on a schedule, and a gateway in processes of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Running:
    """A gateway in processes of its own."""

    parent: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        return sorted(child.pid for child in psutil.Process(self.parent.pid).children())

    def wait_ready(self, times: int, *, seconds: float = 60.0) -> None:
        """Wait until the parent has heard of so many ready workers, counted from the start."""
        deadline = time.monotonic() + seconds
        while self.log.read_text().count("is ready") < times:
            assert self.parent.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


@contextmanager
def gateway(folder: Path, *, workers: int, **settings: str) -> Iterator[Running]:
    """Run `python -m infra.serving.main` over a home, ready, on a free port."""
    port, log = free_port(), folder / "gateway.log"
    mine = {"EVERFEED_HOME": str(folder), "EVERFEED_GATEWAY_PORT": str(port), "EVERFEED_GATEWAY_WORKERS": str(workers)}
    command = (sys.executable, "-m", "infra.serving.main")
    with log.open("wb") as stream:
        parent = subprocess.Popen(
            command, env={**os.environ, **mine, **settings}, stderr=stream, start_new_session=True
        )
    running = Running(parent, port, log)
    try:
        running.wait_ready(workers)
        yield running
    finally:
        if parent.poll() is None:
            parent.send_signal(signal.SIGTERM)
        try:
            parent.wait(20)
        finally:
            kill_group(parent.pid)


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Client:
    """A pool of connections that are used again until the server says that it closes them."""

    port: int
    idle: list[Stream] = field(default_factory=list)

    async def post(self, path: str, message: object) -> tuple[int, bytes]:
        """Send a message and return status and body; a connection that the server had closed before is not used.

        Raises:
            OSError: The connection ended in the middle.
            asyncio.IncompleteReadError: The same.
        """
        stream = await self._connection()
        try:
            status, is_last, payload = await _exchange(stream, path, msgspec.json.encode(message))
        except BaseException:
            stream[1].close()
            raise
        if is_last:
            stream[1].close()
        else:
            self.idle.append(stream)
        return status, payload

    async def _connection(self) -> Stream:
        while self.idle:
            reader, writer = self.idle.pop(0)  # the one that is idle for longest: the hardest for a server that leaves
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def close(self) -> None:
        for _, writer in self.idle:
            writer.close()
        await asyncio.sleep(0.05)  # until the loop has closed them


async def _exchange(stream: Stream, path: str, body: bytes) -> tuple[int, bool, bytes]:
    """Return status, whether the connection ends with this answer, and the body."""
    reader, writer = stream
    writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head[9:12]), b"connection: close" in head, await reader.readexactly(length)


async def on_schedule(
    client: Client, *, rate: float, until: Callable[[], bool], message: Callable[[int], object]
) -> list[int]:
    """Send recommendations at a rate, whatever comes back, until the condition holds; return statuses, 0 for none."""
    statuses: list[int] = []

    async def ask(number: int) -> None:
        try:
            status, _ = await client.post("/v1/recommend", message(number))
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        statuses.append(status)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        number = 0
        while not until():
            while number < rate * (time.monotonic() - started):
                group.create_task(ask(number))
                number += 1
            await asyncio.sleep(0.005)
    return statuses
