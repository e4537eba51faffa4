"""What time it is for flows: the present, or a moment that a simulation lives through.

Every flow that judges by time asks here, so that months of days can be lived in minutes without faking a decision. A
flow that runs in another process, as a deployment's does, has the present.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, time, timedelta
from typing import Final

DAILY_AT: Final = time(3, 0, tzinfo=UTC)
"""When the daily lifecycle begins."""

_moment: ContextVar[datetime | None] = ContextVar("moment", default=None)


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return _moment.get() or datetime.now(UTC)


def next_daily(now: datetime) -> datetime:
    """Return when the daily lifecycle begins next, where schedules are served and nobody paused it."""
    today = datetime.combine(now.astimezone(UTC).date(), DAILY_AT)
    return today if today > now else today + timedelta(days=1)


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
