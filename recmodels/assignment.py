"""Unit -> bucket -> arm: the gateway and the judge call the same functions, so they cannot disagree."""

import hashlib
from enum import StrEnum
from typing import Final

BUCKETS: Final = 10_000
_CONTROL_START: Final = 5_000


class Arm(StrEnum):
    """Who a unit belongs to while a rollout runs."""

    CANARY = "canary"
    """Served by the challenger."""
    CONTROL = "control"
    """Served by the champion, as large as the canary, at the same time: the comparison."""
    REST = "rest"
    """Served by the champion, outside the analysis."""


def bucket_of(unit: str, *, salt: str) -> int:
    """Return the bucket of a unit in ``[0, 10000)``; it depends on nothing but the salt and the unit."""
    digest = hashlib.blake2b(unit.encode(), digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def arm_of(unit: str, *, salt: str, share: float) -> Arm:
    """Return the arm of a unit when the canary has `share` of all units.

    The canary is the buckets ``[0, s)`` and the control ``[5000, 5000 + s)``, so growing the share never moves a unit
    from one of the two to the other.

    Args:
        unit: User id, or an anonymous session's id.
        salt: The rollout's own salt, stored with it.
        share: Share of the canary, from 0 to 0.5.

    Raises:
        ValueError: The share is out of its range.
    """
    if not 0 <= share <= 0.5:
        raise ValueError(f"share {share!r} is not between 0 and 0.5: the control must be as large as the canary.")
    size = round(share * BUCKETS)
    bucket = bucket_of(unit, salt=salt)
    if bucket < size:
        return Arm.CANARY
    if _CONTROL_START <= bucket < _CONTROL_START + size:
        return Arm.CONTROL
    return Arm.REST
