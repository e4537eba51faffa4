"""Estimates with intervals as SVG coordinates: all arithmetic of the picture, none of its markup."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.analysis.result import Dots
from monitoring.analysis.words import shortened, with_interval, written

WIDTH = 360
_MARGIN, _ROW, _AXIS, _TOP = 8, 34, 26, 4
_LABEL = 32
"""Signs of a label that fit beside the value."""


@dataclass(frozen=True)
class Mark:
    """One estimate: its label, and where its line and dot are.

    Attributes:
        label: What it is of.
        value: The estimate with its interval, written.
        text_y: Where both are written.
        y: Of the line.
        x: Of the dot.
        from_x: Where the line begins.
        to_x: Where it ends.
        is_finding: It stands out.
    """

    label: str
    value: str
    text_y: int
    y: int
    x: float
    from_x: float
    to_x: float
    is_finding: bool


@dataclass(frozen=True)
class Tick:
    """A place on the axis, its label, and which end of the label stands there."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Picture:
    """A drawn `Dots`.

    Attributes:
        title: What is drawn.
        words: All of it in words, for those who do not see it.
        marks: From top to bottom.
        ticks: Of the axis.
        reference_x: Where the line to compare with is; None for none.
        height: Of the picture.
        axis_y: Of the axis.
    """

    title: str
    words: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    reference_x: float | None
    height: int
    axis_y: int
    width: int = WIDTH
    left: int = _MARGIN
    right: int = WIDTH - _MARGIN


def draw(dots: Dots) -> Picture:
    """Place the estimates of a picture; an interval without end reaches the edge."""
    values = [value for dot in dots.dots for value in (dot.value, dot.lower, dot.upper)]
    values += [] if dots.reference is None else [dots.reference]
    low, high = _range(values, is_log=dots.is_log)

    def x(value: float) -> float:
        inside = _scaled(value, is_log=dots.is_log, low=low)
        share = min(max((inside - low) / (high - low), 0.0), 1.0)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    marks = []
    for place, dot in enumerate(dots.dots):
        top = _TOP + place * _ROW
        value = with_interval(dot.value, dot.lower, dot.upper, dots.kind)
        marks.append(
            Mark(
                shortened(dot.label, _LABEL),
                value,
                top + 13,
                top + 23,
                x(dot.value),
                x(dot.lower),
                x(dot.upper),
                dot.is_finding,
            )
        )
    axis_y = _TOP + len(marks) * _ROW
    places = zip((low, (low + high) / 2, high), ("start", "middle", "end"), strict=True)
    at = [(math.exp(place) if dots.is_log else place, anchor) for place, anchor in places]
    return Picture(
        title=dots.title,
        words="; ".join(f"{dot.label} {mark.value}" for dot, mark in zip(dots.dots, marks, strict=True)),
        marks=tuple(marks),
        ticks=tuple(Tick(x(value), written(value, dots.kind), anchor) for value, anchor in at),
        reference_x=None if dots.reference is None else x(dots.reference),
        height=axis_y + _AXIS,
        axis_y=axis_y,
    )


def _range(values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    """Return the ends of the axis: those of the finite values, from 0 on unless the axis is logarithmic."""
    finite = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    if not finite:
        return 0.0, 1.0
    if is_log:
        low, high = math.log(min(finite)), math.log(max(finite))
    else:
        low, high = min(0.0, *finite), max(finite)
    return (low, high) if high > low else (low, low + 1.0)


def _scaled(value: float, *, is_log: bool, low: float) -> float:
    if not is_log:
        return low if math.isnan(value) else value
    return math.log(value) if value > 0 else low
