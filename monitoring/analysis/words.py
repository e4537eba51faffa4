"""How figures and names are written in sentences, tables and pictures."""

import math
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from monitoring.analysis.result import Kind

_LONGEST = 48


def written(value: object, kind: Kind) -> str:
    """Write one value; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if kind is Kind.TEXT or not isinstance(value, int | float):
        return shortened(str(value))
    if math.isinf(value):
        return "∞"
    return _number(value, kind)


def with_interval(value: float, lower: float, upper: float, kind: Kind) -> str:
    """Write an estimate with its interval."""
    return f"{written(value, kind)} ({written(lower, kind)} to {written(upper, kind)})"


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return a text on one line that fits a cell, without characters that would not be seen or would turn it around.

    Args:
        text: The text.
        longest: Its width at most, where signs of Chinese, Japanese and Korean count twice.
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    width = 0
    for place, sign in enumerate(line):
        width += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if width > longest:
            return f"{line[:place].rstrip()}…"
    return line


def listed(names: Sequence[str]) -> str:
    """Write names as in a sentence: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def moment(value: datetime) -> str:
    """Write a time."""
    return f"{value:%Y-%m-%d %H:%M}"


def span(start: datetime, end: datetime) -> str:
    """Write a span of time."""
    return f"{moment(start)} to {moment(end)} UTC"


def _number(value: float, kind: Kind) -> str:
    if kind is Kind.COUNT:
        return f"{round(value):,}"
    if kind is Kind.SHARE:
        return f"{value * 100:.1f} %"
    if kind is Kind.RATIO:
        return f"{value:.2f}×" if value < 100 else f"{value:,.0f}×"
    if kind is Kind.PROBABILITY:
        return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
