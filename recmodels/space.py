"""Whether an error, whichever library raised it, says that a disk is full."""

import errno
from typing import Final

_WORDS: Final = ("no space left on device", "disk is full", "disk quota exceeded", "os error 28")


def is_disk_full(error: BaseException) -> bool:
    """Say whether an error, or what caused it, comes of a full disk or an exhausted quota."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if any(words in str(cause).lower() for words in _WORDS):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
