"""What time it is for flows: the present, or a moment that a simulation lives through.

Every flow that judges by time asks here, so that months of days can be lived in minutes without faking a decision. A
flow that runs in another process, as a deployment's does, has the present.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAILY_AT: Final = time(3, 0)
"""When the daily lifecycle begins, in the time zone of the settings."""

_moment: ContextVar[datetime | None] = ContextVar("moment", default=None)


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return _moment.get() or datetime.now(UTC)


def next_daily(now: datetime, *, time_zone: str = "UTC") -> datetime:
    """Return when the daily lifecycle begins next (UTC), where schedules are served and nobody paused it."""
    zone = ZoneInfo(time_zone)
    today = datetime.combine(now.astimezone(zone).date(), DAILY_AT, tzinfo=zone)
    tomorrow = datetime.combine(today.date() + timedelta(days=1), DAILY_AT, tzinfo=zone)
    return (today if today.astimezone(UTC) > now else tomorrow).astimezone(UTC)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let it be `moment` for everything that this block calls; time stands still in it.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"moment {moment!r} has no time zone; give an aware one, such as datetime(..., tzinfo=UTC).")
    token = _moment.set(moment.astimezone(UTC))
    try:
        yield
    finally:
        _moment.reset(token)
