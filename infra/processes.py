"""What is running over one home folder, seen from outside: the record of its services, and how leftovers are ended."""

import atexit
import fcntl
import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO

import httpx
import msgspec
import psutil

from infra.settings import Settings
from recmodels.errors import AlreadyRunningError, PortTakenError, StoreError

_log = logging.getLogger(__name__)

STOP_SECONDS = 15.0

SERVICE_VARIABLE = "EVERFEED_SERVICE"
"""Variable that a service, and whatever it starts, carries its name in."""


class ServiceRecord(msgspec.Struct, frozen=True):
    """One started service: its process, told from a later one of the same number by the time it was created."""

    name: str
    pid: int
    created: float
    url: str
    ready_path: str
    tells_ready: bool = False


class StackRecord(msgspec.Struct, frozen=True):
    """The services of a stack and the process that watches them.

    Attributes:
        supervisor: Number of that process.
        services: What it has started, in the order of the stack.
        supervisor_created: When that process was created; 0 where an earlier Everfeed wrote the record.
        is_ready: Every service that somebody waits for has answered.
    """

    supervisor: int = 0
    services: list[ServiceRecord] = msgspec.field(default_factory=list)
    supervisor_created: float = 0.0
    is_ready: bool = False


@dataclass(frozen=True)
class ServiceStatus:
    """What is known of one service.

    Memory includes its child processes, in MiB; `workers` are the process numbers of those children.
    """

    name: str
    url: str
    pid: int
    is_running: bool
    is_ready: bool
    memory_mb: float
    started_at: datetime | None
    workers: tuple[int, ...] = ()


def hold_lock(settings: Settings) -> IO[str]:
    """Take the lock of this home; it lasts until the returned file is closed or the process ends.

    Raises:
        AlreadyRunningError: Another process holds it.
    """
    lock = _lock_file(settings).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise AlreadyRunningError(
            f"a stack is already up over {settings.root}. See it with `everfeed status`, stop it with `everfeed down`, "
            "or choose another folder with EVERFEED_HOME."
        ) from error
    return lock


def is_up(settings: Settings) -> bool:
    """Say whether a process holds a stack over this home."""
    if not _lock_file(settings).exists():
        return False
    try:
        hold_lock(settings).close()
    except AlreadyRunningError:
        return True
    return False


def statuses(settings: Settings) -> list[ServiceStatus]:
    """Return what is known of each service of this home; an empty list when no stack was started."""
    return [_status(record, settings) for record in read_record(settings).services]


def take_down(settings: Settings, *, timeout_seconds: float = 30.0) -> bool:
    """Stop the stack of this home, whoever started it; a supervisor that does not end in time is killed.

    Returns:
        True when something was stopped, False when nothing ran.

    Raises:
        StoreError: A stack is up, and its record is damaged, so that nobody knows which process holds it.
    """
    was_up = is_up(settings)
    record = read_record(settings) if was_up else StackRecord()
    if was_up and _is_supervisor(record):
        os.kill(record.supervisor, signal.SIGTERM)
        deadline = time.monotonic() + timeout_seconds
        while is_up(settings) and time.monotonic() < deadline:
            time.sleep(0.1)
        if is_up(settings) and _is_supervisor(record):
            _log.warning("supervisor %d did not stop in %.0f s and is killed", record.supervisor, timeout_seconds)
            os.kill(record.supervisor, signal.SIGKILL)
            while is_up(settings):
                time.sleep(0.05)
    return (not is_up(settings) and stop_leftovers(settings) > 0) or was_up


def stop_leftovers(settings: Settings) -> int:
    """Stop what outlived a supervisor that was killed: services, and whatever they started; return how many there were.

    Found by the record, and by the mark in the environment of everything that a service of this home started, so that
    a lost record, or a service that died before its workers, hides none.
    """
    left = _left(settings)
    for process in left:
        _log.warning("process %d (%s) outlived its supervisor and is stopped", process.pid, marked_as(process))
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(_runs, left)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in {*left, *_left(settings)}:
        _signal(process, signal.SIGKILL)
    record_file(settings).unlink(missing_ok=True)
    return len(left)


def supervised(root: Path) -> list[psutil.Process]:
    """Return every living process that a service of a home is or has started, as far as this user may see them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if variables.get(SERVICE_VARIABLE) and variables.get("EVERFEED_HOME") == str(root) and _runs(process):
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


def marked_as(process: psutil.Process) -> str:
    """Name the service that a process is or belongs to."""
    try:
        return str(process.environ().get(SERVICE_VARIABLE) or process.name())
    except psutil.Error:
        return "ended"


def _left(settings: Settings) -> list[psutil.Process]:
    known = [psutil.Process(one.pid) for one in _recorded(settings) if _is_alive(one)]
    return list({*known, *supervised(settings.root)})


def _recorded(settings: Settings) -> list[ServiceRecord]:
    try:
        return read_record(settings).services
    except StoreError as error:
        _log.warning("%s", error)  # the marks in the environment still tell
        return []


def _is_supervisor(record: StackRecord) -> bool:
    """Say whether the recorded supervisor lives, rather than another process of its number, and is not this one."""
    if record.supervisor in {0, os.getpid()}:
        return False
    created = created_at(record.supervisor)
    return created > 0 and record.supervisor_created in {0.0, created}


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended; psutil refuses one whose number is another's by now."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a service and all of its own children; one that has ended is no error."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        _log.debug("process group %d has ended already", pid)


def answers(url: str, ready_path: str) -> bool:
    """Say whether a service answers 200 at its ready path."""
    try:
        return _client().get(f"{url}{ready_path}").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def mark_ready(settings: Settings, name: str) -> None:
    """Tell the stack that this process, a service without an address, is ready."""
    path = _ready_mark(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(str(os.getpid()))
    partial.replace(path)


def has_marked(settings: Settings, name: str, pid: int) -> bool:
    """Say whether a process told that it is ready; what an earlier one left does not count."""
    try:
        return _ready_mark(settings, name).read_text() == str(pid)
    except OSError:
        return False


def _ready_mark(settings: Settings, name: str) -> Path:
    return settings.root / "ready" / name


@cache
def _client() -> httpx.Client:
    """Return one client for all looks: making one costs 30 ms, mostly for certificates that loopback never needs."""
    client = httpx.Client(timeout=2.0, trust_env=False, verify=False)  # noqa: S501 - plain http on this machine
    atexit.register(client.close)
    return client


def created_at(pid: int) -> float:
    """Return when a process was created, in seconds since 1970, or 0 when it has ended."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def port_owner(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"by process {connection.pid}, {psutil.Process(connection.pid).name()}"
    except psutil.Error:
        return "by a process that this user may not see"
    return "by another process"


def port_taken(name: str, *, host: str, port: int, error: OSError) -> PortTakenError:
    """Return the error for a service whose port cannot be bound: who has it, and what to do."""
    return PortTakenError(
        f"port {port} for {name} on {host} is taken {port_owner(port)} ({error.strerror}). Stop that process, or "
        f"choose another port with EVERFEED_{name.upper()}_PORT."
    )


def read_record(settings: Settings) -> StackRecord:
    """Return the record of the last stack over this home, or an empty one.

    Raises:
        StoreError: The record is damaged.
    """
    path = record_file(settings)
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackRecord) if path.exists() else StackRecord()
    except msgspec.DecodeError as error:
        raise StoreError(
            f"the record of running services {path} is damaged ({error}). Delete the file, then `everfeed down`, which "
            "finds what still runs over this home, and `everfeed up`."
        ) from error


def write_record(settings: Settings, record: StackRecord) -> None:
    """Replace the record atomically."""
    path = record_file(settings)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(record))
    partial.replace(path)


def _status(record: ServiceRecord, settings: Settings) -> ServiceStatus:
    if not _is_alive(record):
        return ServiceStatus(
            record.name, record.url, record.pid, is_running=False, is_ready=False, memory_mb=0.0, started_at=None
        )
    process = psutil.Process(record.pid)
    memory = sum(member.memory_info().rss for member in [process, *process.children(recursive=True)]) / 2**20
    workers = tuple(sorted(child.pid for child in process.children()))
    is_ready = (not record.ready_path or answers(record.url, record.ready_path)) and (
        not record.tells_ready or has_marked(settings, record.name, record.pid)
    )
    started = datetime.fromtimestamp(record.created).astimezone()
    return ServiceStatus(
        record.name,
        record.url,
        record.pid,
        is_running=True,
        is_ready=is_ready,
        memory_mb=round(memory, 1),
        started_at=started,
        workers=workers,
    )


def _is_alive(record: ServiceRecord) -> bool:
    try:
        process = psutil.Process(record.pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() == record.created)
    except psutil.NoSuchProcess:
        return False


def record_file(settings: Settings) -> Path:
    """Return where the record of the services of a home is."""
    return settings.root / "stack.json"


def _lock_file(settings: Settings) -> Path:
    return settings.root / "stack.lock"
