"""Which process works on something, written down so that another process can tell later whether it still lives."""

import os
import socket
from functools import cache
from typing import Final

import psutil

PROCESS_LABEL: Final = "everfeed.process"
"""Tag of an MLflow run and label of a Prefect flow run: the process that works on it."""


def this_process() -> str:
    """Return the host, number and time of creation of this process, ``host:pid:milliseconds``."""
    return _identity(os.getpid())


def has_died(identity: str) -> bool:
    """Say whether the process that `this_process` named is surely gone.

    One of another host is never said to have died, nor one whose name cannot be read: nobody here can know.
    """
    host, *numbers = identity.rsplit(":", 2)
    if host != socket.gethostname() or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        return False
    pid, created = map(int, numbers)
    return _created(pid) != created


@cache
def _identity(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_created(pid)}"


def _created(pid: int) -> int:
    """Return when a process was created in milliseconds since 1970; 0 where there is none, or one that has ended."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return 0
