"""The page as HTML: templates with everything escaped, and how times and figures are written."""

from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def environment() -> Environment:
    """Return the templates; a name that a template misspells is an error rather than empty text."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "ago": ago, "figure": figure, "signed": signed}
    return made


def moment(value: datetime | None) -> str:
    """Write a time in UTC."""
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def ago(value: datetime, now: datetime) -> str:
    """Write how long ago a time was."""
    age = now - value
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if age >= unit:
            return f"{age // unit} {name} ago"
    return "just now"


def figure(value: float | None) -> str:
    """Write a metric or a score."""
    return "–" if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    """Write a difference."""
    return "–" if value is None else f"{value:+.4f}"
