"""Pages as HTML: templates with everything escaped, and how times and figures are written."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infra.console.incidents import fate
from infra.console.rollout_view import rule_words

FOLDER = Path(__file__).parent

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@cache
def environment() -> Environment:
    """Return the templates, one a process; a name that a template misspells is an error rather than empty text."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": moment,
        "minute": minute,
        "stamp": stamp,
        "ago": ago,
        "until": until,
        "duration": duration,
        "figure": figure,
        "signed": signed,
        "short": short,
        "rule": rule_words,
        "fate": fate,
    }
    return made


def moment(value: datetime | None) -> str:
    """Write a time in UTC."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def minute(value: datetime | None) -> str:
    """Write a time in UTC to the minute, so that a page changes once a minute by itself."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M} UTC"


def stamp(value: datetime) -> str:
    """Write a time as machines read it."""
    return value.isoformat(timespec="seconds")


def ago(value: datetime, now: datetime) -> str:
    """Write how long ago a time was."""
    age = now - value
    return "just now" if age < _MINUTE else f"{_length(age)} ago"


def until(value: datetime, now: datetime) -> str:
    """Write how long a time is away."""
    left = value - now
    if left < timedelta(0):
        return f"{_length(-left)} overdue" if -left >= _MINUTE else "any moment"
    return "in under a minute" if left < _MINUTE else f"in {_length(left)}"


def duration(seconds: float | None) -> str:
    """Write a length of time; of a longer one, minutes and more."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return _length(timedelta(seconds=seconds))


def figure(value: float | None) -> str:
    """Write a metric or a score."""
    return "–" if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    """Write a difference."""
    return "–" if value is None else f"{value:+.4f}"


def short(value: float) -> str:
    """Write a figure of any size in as few digits as tell it; a thousand as people write it."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def _length(length: timedelta) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if length >= unit:
            return f"{length // unit} {name}"
    return "under a minute"
