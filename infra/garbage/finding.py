"""One thing that was looked at: whether it goes, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One file or folder of a home.

    Attributes:
        kind: What it is, such as ``bundle`` or ``checkpoints``.
        path: Where, from the home on.
        size: Its bytes, with all that is in it.
        used_at: When it was last written (UTC).
        goes: Nobody needs it.
        reason: Why it goes, or who needs it.
    """

    kind: str
    path: str
    size: int
    used_at: datetime
    goes: bool
    reason: str


@dataclass(frozen=True)
class Extent:
    """What a file or folder takes, and when something in it was last written."""

    size: int
    used_at: datetime

    def is_older(self, age: timedelta, now: datetime) -> bool:
        """Say whether nothing in it was written for so long."""
        return now - self.used_at >= age


def extent_of(path: Path) -> Extent:
    """Return what a file or folder takes; a folder that is empty is as old as itself."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    statuses = [one.stat() for one in files]
    newest = max((status.st_mtime for status in statuses), default=path.stat().st_mtime)
    return Extent(sum(status.st_size for status in statuses), datetime.fromtimestamp(newest, UTC))
