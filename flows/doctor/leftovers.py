"""Half-written files and folders of processes that were killed, under the names that writers use meanwhile."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from flows.doctor.finding import Repair
from infra.settings import Settings

_PATTERNS: Final = ("*.partial", ".writing-*", ".*.partial")
_QUIET_SECONDS: Final = 3600.0
"""A writer that lives has written, or has the file open, within this time."""


def repairs(settings: Settings) -> Iterator[Repair]:
    """Find what nobody writes any more: not open in any process, and not changed for an hour."""
    found = {path for pattern in _PATTERNS for path in settings.root.rglob(pattern)}
    found |= set(settings.root.parent.glob(f".{settings.root.name}.restoring-*"))
    outermost = [path for path in sorted(found) if not any(parent in found for parent in path.parents)]
    open_paths = _open_paths() if outermost else set()
    for path in outermost:
        if _is_dead(path, open_paths):
            yield Repair(
                f"half-written {path}",
                "nobody has it open, and it was not changed for an hour",
                "removes it; what it was part of is written anew where it is needed",
                lambda path=path: _remove(path),  # type: ignore[misc]
            )


def _remove(path: Path) -> bool:
    if not _is_dead(path, _open_paths()):
        return False
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return True


def _is_dead(path: Path, open_paths: set[Path]) -> bool:
    try:
        if time.time() - _changed_at(path) < _QUIET_SECONDS:
            return False
    except FileNotFoundError:
        return False
    named = re.fullmatch(r".*\.(\d+)\.partial", path.name)
    if named and psutil.pid_exists(int(named[1])):
        return False
    return not any(one == path or path in one.parents for one in open_paths)


def _changed_at(path: Path) -> float:
    """Return when a file, or the newest thing in a folder, was last changed, in seconds since 1970."""
    return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))


def _open_paths() -> set[Path]:
    """Return what any process has open, as far as this user may see it."""
    found = set()
    for process in psutil.process_iter():
        with suppress(OSError):
            for descriptor in os.scandir(f"/proc/{process.pid}/fd"):
                with suppress(OSError):
                    found.add(Path(os.readlink(descriptor.path)))  # noqa: PTH115 - a link to no path, too
    return found
