"""Drift figures as small pictures: each with the band that its own past allowed, the furthest outside first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.console.page import short
from infra.figures import FigureRecord

WIDTH, HEIGHT = 240, 72
_EDGE = 3
_Point = Callable[[int, float], tuple[int, int]]
_ORDER = {"drift": 0, "ok": 1, "learning": 2, "insufficient": 3}


@dataclass(frozen=True)
class Picture:
    """One figure over its newest days.

    Attributes:
        bands: Polygons between the ends of the band, one a stretch of days that have one.
        lines: Polylines of the values, one a stretch of days that have one.
        dot: The newest value; None without one.
        low: Label of the lower edge.
        high: Label of the upper edge.
    """

    bands: tuple[str, ...]
    lines: tuple[str, ...]
    dot: tuple[int, int] | None
    low: str
    high: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class FigureView:
    """A figure and its picture."""

    record: FigureRecord
    picture: Picture | None
    words: str

    @property
    def is_drift(self) -> bool:
        """Whether it moved."""
        return self.record.status == "drift"


def ordered(figures: Sequence[FigureRecord]) -> list[FigureRecord]:
    """Return the figures that moved, then those in order, then those nobody can judge; the furthest out first."""
    return sorted(
        figures, key=lambda one: (_ORDER.get(one.status, 9), -abs(one.size or 0.0), one.family, one.name, one.slice)
    )


def view(record: FigureRecord) -> FigureView:
    """Return a figure as it is shown."""
    return FigureView(record, draw(record), _words(record))


def draw(record: FigureRecord) -> Picture | None:
    """Return the picture, or None where fewer than two days are known.

    The vertical axis spans the band and the values; a value further out than twice the band's own span is drawn at the
    edge, so that a picture stays readable after a jump of a thousand.
    """
    known = [value for value in record.values if value is not None]
    if len(known) < 2:
        return None
    ends = [value for value in (*record.lower, *record.upper) if value is not None]
    low, high = min(known), max(known)
    if ends:
        floor, roof = min(ends), max(ends)
        reach = 2 * (roof - floor)
        low, high = min(max(low, floor - reach), floor), max(min(high, roof + reach), roof)
    span = (high - low) or abs(high) or 1.0

    def point(day: int, value: float) -> tuple[int, int]:
        x = _EDGE + day * (WIDTH - 2 * _EDGE) / max(len(record.values) - 1, 1)
        inside = min(max(value, low), high)
        return round(x), round(_EDGE + (high - inside) / span * (HEIGHT - 2 * _EDGE))

    newest = max(day for day, value in enumerate(record.values) if value is not None)
    value = record.values[newest]
    return Picture(
        bands=tuple(_band(run, record, point) for run in _runs(record.lower)),
        lines=tuple(_line(run, record.values, point) for run in _runs(record.values)),
        dot=None if value is None else point(newest, value),
        low=short(low),
        high=short(high),
    )


def _runs(values: Sequence[float | None]) -> list[range]:
    """Return the stretches of days that have a value."""
    runs: list[range] = []
    start = None
    for day, value in enumerate((*values, None)):
        if value is None:
            if start is not None:
                runs.append(range(start, day))
            start = None
        elif start is None:
            start = day
    return runs


def _band(run: range, record: FigureRecord, point: _Point) -> str:
    upper = _line(run, record.upper, point)
    lower = _line(run[::-1], record.lower, point)
    return f"{upper} {lower}"


def _line(run: range, values: Sequence[float | None], point: _Point) -> str:
    points = [point(day, value) for day in run if (value := values[day]) is not None]
    return " ".join(f"{x},{y}" for x, y in points)


def _words(record: FigureRecord) -> str:
    if record.status == "learning":
        return "its past is too short to judge it"
    if record.value is None or record.expected is None or record.size is None:
        return "too little data to judge the day"
    return f"{short(record.value)}, expected {short(record.expected)} ({record.size:+.1f} spreads)"
