"""The services of one machine as child processes: started together, watched, restarted, stopped without leftovers."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra import processes
from infra.logfiles import rotate
from infra.processes import ServiceRecord, StackRecord
from infra.settings import Settings
from recmodels.errors import EverfeedError

_log = logging.getLogger(__name__)

SUPERVISOR_LOG = "supervisor.log"
"""Log of `everfeed up --detach` itself, beside those of the services."""

_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_HEALTHY_SECONDS = 60.0
"""A service that lived so long is restarted as quickly as at its first end."""
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Service:
    """One child process.

    Attributes:
        name: Name in messages, of its log file, and of the setting that holds its port.
        command: The program and its arguments.
        url: Address a person opens; empty for a service without one.
        port: Port it listens on; 0 for a service without one.
        ready_path: Path that answers 200 once the service works; empty for a service without one.
        tells_ready: It has no address and marks itself as ready, see `infra.processes.mark_ready`.
    """

    name: str
    command: tuple[str, ...]
    url: str = ""
    port: int = 0
    ready_path: str = ""
    tells_ready: bool = False


class Stack:
    """The services of one home folder, held by the process that started them.

    Only one stack runs over a home at a time: a lock is held as long as the supervising process lives.
    """

    def __init__(self, settings: Settings, services: tuple[Service, ...]) -> None:
        self._settings = settings
        self._services = services
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._failures = {service.name: 0 for service in services}
        self._restart_at: dict[str, float] = {}
        self._started_at: dict[str, float] = {}
        self._lock: IO[str] | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start every service; wait for none.

        Raises:
            AlreadyRunningError: Another process holds a stack over this home.
            PortTakenError: A port is in use; nothing was started.
        """
        self._settings.logs.mkdir(parents=True, exist_ok=True)
        self._lock = processes.hold_lock(self._settings)
        processes.stop_leftovers(self._settings)
        for service in self._services:
            _require_free(service, self._settings.host)
        for service in self._services:
            self._spawn(service)

    def wait_ready(self, *, timeout_seconds: float, on_ready: Callable[[str], None] | None = None) -> None:
        """Wait until every service answers, or has told that it is ready.

        Raises:
            EverfeedError: A service ended, or did not answer in time; its last log lines are in the message.
        """
        deadline = time.monotonic() + timeout_seconds
        waiting = [service for service in self._services if service.ready_path or service.tells_ready]
        while waiting:
            for service in list(waiting):
                if self._answers(service):
                    waiting.remove(service)
                    if on_ready:
                        on_ready(service.name)
                elif service.name in self._children and self._children[service.name].poll() is not None:
                    raise EverfeedError(f"{service.name} ended while it was starting. {self._tail(service.name)}")
            if waiting and time.monotonic() > deadline:
                late = waiting[0].name
                raise EverfeedError(f"{late} did not answer within {timeout_seconds:.0f} s. {self._tail(late)}")
            time.sleep(_LOOK_SECONDS)
        self._is_ready = True
        self._write_record()

    def add(self, service: Service) -> None:
        """Start one more service, which is watched and stopped with the others.

        Raises:
            PortTakenError: Its port is in use.
        """
        _require_free(service, self._settings.host)
        self._services = (*self._services, service)
        self._failures[service.name] = 0
        self._spawn(service)

    def watch(self) -> None:
        """Restart what has ended, each service after a growing pause; call it about once a second.

        Logs that have grown too large begin anew.
        """
        now = time.monotonic()
        for service in self._services:
            rotate(self._log_path(service.name))
            child = self._children.get(service.name)
            if child is None or child.poll() is None:
                continue
            if service.name not in self._restart_at:
                if now - self._started_at[service.name] >= _HEALTHY_SECONDS:
                    self._failures[service.name] = 0
                pause = _BACKOFF_SECONDS[min(self._failures[service.name], len(_BACKOFF_SECONDS) - 1)]
                _log.warning("service %s ended with code %s; restart in %.1f s", service.name, child.returncode, pause)
                self._restart_at[service.name] = now + pause
                self._failures[service.name] += 1
                processes.signal_group(child.pid, signal.SIGKILL)  # workers that it left would hold its port
            elif now >= self._restart_at[service.name]:
                del self._restart_at[service.name]
                self._spawn(service)
        rotate(self._settings.logs / SUPERVISOR_LOG)

    def stop(self) -> None:
        """Stop every service with its own children, the last started first; safe to call twice."""
        for child in reversed(self._children.values()):
            processes.signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + processes.STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("process %d did not stop in time and is killed", child.pid)
            processes.signal_group(child.pid, signal.SIGKILL)
            child.wait()
        self._children.clear()
        if self._lock is not None:
            processes.stop_leftovers(
                self._settings
            )  # what a service started in a session of its own, such as a flow run
            self._lock.close()
            self._lock = None

    def _spawn(self, service: Service) -> None:
        rotate(self._log_path(service.name))
        with self._open_log(service.name) as log:
            self._children[service.name] = subprocess.Popen(  # noqa: S603 - our own command lines
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._settings.environment(), processes.SERVICE_VARIABLE: service.name},
                start_new_session=True,
            )
        self._started_at[service.name] = time.monotonic()
        self._write_record()

    def _open_log(self, name: str) -> IO[bytes]:
        """Open a log; a service whose log cannot be made, such as on a full disk, runs without one."""
        try:
            return self._log_path(name).open("ab")
        except OSError as error:
            _log.warning("service %s runs without its log %s: %s", name, self._log_path(name), error.strerror)
            return Path(os.devnull).open("ab")

    def _answers(self, service: Service) -> bool:
        child = self._children.get(service.name)
        if child is None:
            return False
        if service.tells_ready:
            return processes.has_marked(self._settings, service.name, child.pid)
        return processes.answers(service.url, service.ready_path)

    def _write_record(self) -> None:
        """Write down what runs; where that fails, as on a full disk, the marks of the processes still tell."""
        services = [self._record(service) for service in self._started()]
        own = os.getpid()
        record = StackRecord(own, services, processes.created_at(own), self._is_ready)
        try:
            processes.write_record(self._settings, record)
        except OSError as error:
            _log.warning("the record of running services cannot be written: %s", error.strerror)

    def _started(self) -> list[Service]:
        return [service for service in self._services if service.name in self._children]

    def _record(self, service: Service) -> ServiceRecord:
        pid = self._children[service.name].pid
        created = processes.created_at(pid)
        return ServiceRecord(service.name, pid, created, service.url, service.ready_path, service.tells_ready)

    def _log_path(self, name: str) -> Path:
        return self._settings.logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        path = self._log_path(name)
        lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
        return f"Its log {path} ends with: " + " | ".join(lines)


@contextmanager
def running(
    settings: Settings,
    services: tuple[Service, ...],
    *,
    timeout_seconds: float = 180.0,
    on_ready: Callable[[str], None] | None = None,
) -> Iterator[Stack]:
    """Hold a running stack for the length of a `with` block."""
    stack = Stack(settings, services)
    try:
        stack.start()
        stack.wait_ready(timeout_seconds=timeout_seconds, on_ready=on_ready)
        yield stack
    finally:
        stack.stop()


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line that runs a module with this interpreter."""
    return (sys.executable, "-m", module, *arguments)


def _require_free(service: Service, host: str) -> None:
    if not service.port:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, service.port))
        except OSError as error:
            raise processes.port_taken(service.name, host=host, port=service.port, error=error) from error
