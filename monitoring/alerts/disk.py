"""Whether there is room left on the disk of the home: spoken of while there is still room to write that down."""

from typing import Final

from monitoring.result import CheckResult, Finding, Status

DISK_MODEL: Final = "disk"
"""What the incident names instead of a model, so that no check of a model touches it."""
DISK_FAMILY: Final = "disk"

_FIGURE: Final = "the disk is nearly full"
_LOW_SHARE: Final = 0.05
_LOW_BYTES: Final = 2 * 2**30


def disk_result(path: str, *, free: int, total: int) -> CheckResult:
    """Return what the free space of a disk says; low is below 5 % of it, and below 2 GiB.

    Args:
        path: The home.
        free: Bytes that this user may still write.
        total: Bytes of the disk.
    """
    if free >= min(_LOW_SHARE * total, _LOW_BYTES):
        return CheckResult(_FIGURE, DISK_FAMILY, Status.OK)
    seen = f"{free / 1e6:,.0f} MB of {total / 1e6:,.0f} MB are free on the disk of {path}."
    cause = "the disk: once it is full, answers go on and wait in memory, and feedback is refused with 503"
    action = "Free space: `everfeed gc --dry-run` says what nobody needs. Everything goes on by itself after that."
    finding = Finding(seen, cause, action)
    return CheckResult(_FIGURE, DISK_FAMILY, Status.DRIFT, message=finding.sentences(), finding=finding)
