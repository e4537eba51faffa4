"""Logs of services: each file is kept below a size while the service writes on, and a few older ones are kept.

A service writes to its file itself, so that its lines survive a supervisor that is killed. The file is therefore copied
and emptied in place rather than renamed; it is open for appending, so that the next line stands at its beginning. Lines
that are written between the copy and the emptying, within milliseconds, are lost.
"""

import logging
import os
import shutil
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

LIMIT_BYTES: Final = 10_000_000
"""Size at which a log begins anew."""

KEPT: Final = 3
"""Older logs of a service: ``.log.1`` is the newest of them."""


def rotate(path: Path, *, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Let a log begin anew where it has grown too large, and return whether it did.

    On a full disk nothing can be copied: what the log held is then given up for the space that it takes.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT, 1, -1):
        older = _numbered(path, number - 1)
        if older.exists():
            older.replace(_numbered(path, number))
    try:
        shutil.copyfile(path, _numbered(path, 1))
    except OSError as error:
        _log.warning("log %s is emptied without a copy: %s", path, error.strerror)
        _numbered(path, 1).unlink(missing_ok=True)
    os.truncate(path, 0)
    return True


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
