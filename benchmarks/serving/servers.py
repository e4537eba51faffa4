"""Servers as child processes: started, waited for, their processor time and memory read, and stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.serving.figures import ROOT

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
QUIET = {
    "OMP_NUM_THREADS": "1",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process: Its first process.
        port: Where it listens.
        log: What it wrote.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def family(self) -> list[psutil.Process]:
        """Return the process and everything below it."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time, user and system, of all its processes and of those children that have ended."""
        total = 0.0
        for member in self.family():
            times = member.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory_mb(self) -> float:
        """Return the resident memory of all its processes, in 10^6 bytes."""
        return sum(member.memory_info().rss for member in self.family()) / 1e6

    def stop(self) -> None:
        """End it and everything below it."""
        members = self.family() if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for member in psutil.wait_procs(members, timeout=2.0)[1]:
            member.kill()

    def kill(self) -> None:
        """Kill it and everything below it with SIGKILL, all at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(
    command: Sequence[str], *, port: int, log: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Server:
    """Start a server, in a process group of its own, and wait until it answers 200.

    Args:
        command: Program and arguments.
        port: Where it will listen.
        log: Where its output goes.
        ready: Path to ask.
        environment: Variables beside this process's own.

    Raises:
        RuntimeError: It ended, or did not answer within two minutes.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **QUIET, **(environment or {})},
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        _wait(server, ready)
    except BaseException:
        server.stop()
        raise
    return server


@contextmanager
def running(
    command: Sequence[str], *, port: int, log: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Hold a server up for the length of a `with` block; see `start`."""
    server = start(command, port=port, log=log, ready=ready, environment=environment)
    try:
        yield server
    finally:
        server.stop()


def start_gateway(home: Path, *, port: int | None = None, workers: int = 1) -> Server:
    """Start the gateway over a home folder.

    Args:
        home: The folder.
        port: Where it listens; a free port by default.
        workers: How many processes answer.
    """
    port = port or free_port()
    environment = {"EVERFEED_HOME": str(home), "EVERFEED_GATEWAY_PORT": str(port)}
    if workers > 1:
        environment["EVERFEED_GATEWAY_WORKERS"] = str(workers)
    command = (sys.executable, "-m", "infra.serving.main")
    return start(command, port=port, log=home / "logs" / "gateway.log", ready="/readyz", environment=environment)


@contextmanager
def gateway(home: Path, *, workers: int = 1) -> Iterator[Server]:
    """Hold the gateway up for the length of a `with` block; see `start_gateway`."""
    server = start_gateway(home, workers=workers)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def workers_by_port(server: Server, ports: Sequence[int]) -> dict[int, int]:
    """Return which process holds the other end of each connection, by this end's port."""
    wanted = set(ports)
    found: dict[int, int] = {}
    for member in server.family():
        for connection in member.net_connections("tcp"):
            if connection.raddr and connection.laddr.port == server.port and connection.raddr.port in wanted:
                found[connection.raddr.port] = member.pid
    return found


def _wait(server: Server, ready: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(base_url=server.url, trust_env=False, timeout=5.0) as client:
        while True:
            try:
                if client.get(ready).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            if server.process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-15:])
                raise RuntimeError(f"{server.process.args} did not start:\n{tail}")
            time.sleep(0.02)
