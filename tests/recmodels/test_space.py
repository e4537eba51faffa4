"""Errors of several libraries that say that a disk is full."""

import errno

import pytest

from recmodels.space import is_disk_full


def chained() -> RuntimeError:
    error = RuntimeError("could not be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), True),
        (chained(), True),
        (OSError(errno.ENOENT, "No such file or directory"), False),
        (ValueError("not a number"), False),
    ],
)
def test_a_full_disk_is_told_from_other_trouble(error: Exception, is_full: bool) -> None:
    assert is_disk_full(error) is is_full
