"""Shared and exclusive locks on a folder of this machine, released by the system when a process dies."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from recmodels.errors import AlreadyRunningError


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold `path` together with others who share it; waits for an exclusive holder."""
    with _locked(path, fcntl.LOCK_SH):
        yield


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` alone; waits for every other holder."""
    with _locked(path, fcntl.LOCK_EX):
        yield


@contextmanager
def at_once(path: Path, *, otherwise: str) -> Iterator[None]:
    """Hold `path` alone, or not at all.

    Raises:
        AlreadyRunningError: Somebody else holds it; the message is `otherwise`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise AlreadyRunningError(otherwise) from error
        yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, kind)
        yield
