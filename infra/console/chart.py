"""The confidence sequence of a rollout as SVG coordinates: all arithmetic of the picture, none of its markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from infra.rollouts import RecordedVerdict

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 16, 22, 44
_TICKS = 5
_MOST_LOOKS = 300
_LABEL = 20
"""Height that a label takes, on a phone too."""


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and its label; on the horizontal one with the users of that time."""

    at: float
    label: str
    users: str = ""


@dataclass(frozen=True)
class Line:
    """A line across the picture where a rule fires, or down it where a step began."""

    at: float
    label: str
    label_at: float = 0.0
    """Where the label's foot is, for a line across."""


@dataclass(frozen=True)
class Chart:
    """A confidence sequence over the looks at a rollout.

    Attributes:
        band: Points of the polygon between the bounds.
        line: Points of the estimates.
        ticks: Of the vertical axis.
        times: Of the horizontal axis.
        zero_y: Where no difference lies.
        limits: Where rules fire.
        steps: Where steps began.
        words: The picture in a sentence, for those who do not see it.
    """

    band: str
    line: str
    ticks: tuple[Tick, ...]
    times: tuple[Tick, ...]
    zero_y: float
    limits: tuple[Line, ...]
    steps: tuple[Line, ...]
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class _Look:
    at: datetime
    step: int
    users: int
    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        span = (self.end - self.start).total_seconds() or 1.0
        return round(_LEFT + (at - self.start).total_seconds() / span * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return round(_TOP + (self.high - inside) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM), 1)


def draw(
    verdicts: Sequence[RecordedVerdict], *, delta: float | None = None, steps: Sequence[float] = ()
) -> Chart | None:
    """Return the picture, or None before two looks have both an estimate and its bounds.

    The horizontal axis is time. The vertical one spans the bounds of the later half of the looks, in which they are
    narrow, and zero; what lies outside is drawn at the edge. Of many looks some are left out.

    Args:
        verdicts: Every look, the first one first.
        delta: How much worse, as a share of the control, still counts as not inferior; None for no such line.
        steps: Share of users at each step.
    """
    looks = [
        _Look(v.at, v.step, v.users_canary + v.users_control, v.estimate, v.lower, v.upper)
        for v in verdicts
        if v.estimate is not None and v.lower is not None and v.upper is not None
    ]
    if len(looks) < 2:
        return None
    begun = [look for before, look in pairwise(looks) if look.step != before.step]
    looks = [*looks[: -1 : len(looks) // _MOST_LOOKS + 1], looks[-1]]
    margin = _margin(verdicts, delta)
    scale = _scale(looks, margin)
    upper = [f"{scale.x(look.at)},{scale.y(look.upper)}" for look in looks]
    lower = [f"{scale.x(look.at)},{scale.y(look.lower)}" for look in reversed(looks)]
    return Chart(
        band=" ".join(upper + lower),
        line=" ".join(f"{scale.x(look.at)},{scale.y(look.estimate)}" for look in looks),
        ticks=_ticks(scale),
        times=_times(scale, looks),
        zero_y=scale.y(0.0),
        limits=() if margin is None else (_limit(scale, margin),),
        steps=tuple(Line(scale.x(look.at), _share(look.step, steps)) for look in begun),
        words=_words(looks[-1]),
    )


def _margin(verdicts: Sequence[RecordedVerdict], delta: float | None) -> float | None:
    """Return the margin of non-inferiority as a difference: a share of the control's ratio at the newest look."""
    if delta is None:
        return None
    for one in reversed(verdicts):
        if one.estimate and one.relative:
            return -delta * one.estimate / one.relative
    return None


def _limit(scale: _Scale, margin: float) -> Line:
    """Return the line of the margin; its label keeps clear of the line of no difference and of the axis below."""
    at, zero = scale.y(margin), scale.y(0.0)
    under = at + _LABEL - 4
    label_at = at - 5 if at - zero > _LABEL else under if under < HEIGHT - _BOTTOM else zero - 5
    return Line(at, "not inferior above", label_at)


def _scale(looks: Sequence[_Look], margin: float | None) -> _Scale:
    late = looks[len(looks) // 2 :]
    extra = [] if margin is None else [margin]
    low, high = min(0.0, *extra, *(look.lower for look in late)), max(0.0, *(look.upper for look in late))
    space = (high - low) * 0.05 or 1e-6
    return _Scale(low - space, high + space, looks[0].at, looks[-1].at)


def _ticks(scale: _Scale) -> tuple[Tick, ...]:
    step = (scale.high - scale.low) / (_TICKS - 1)
    values = [scale.low + step * number for number in range(_TICKS)]
    return tuple(Tick(scale.y(value), f"{value:+.4f}") for value in values)


def _times(scale: _Scale, looks: Sequence[_Look]) -> tuple[Tick, ...]:
    """Return the first, the middle and the last look, with the users of both arms until then."""
    shown = list(dict.fromkeys((0, len(looks) // 2, len(looks) - 1)))
    is_short = (scale.end - scale.start).total_seconds() < 3600
    form = "%H:%M:%S" if is_short else "%d %b %H:%M"
    return tuple(Tick(scale.x(looks[n].at), f"{looks[n].at:{form}}", f"{looks[n].users:,} users") for n in shown)


def _share(step: int, steps: Sequence[float]) -> str:
    return f"{steps[step]:.0%}" if 0 <= step < len(steps) else "shadow"


def _words(last: _Look) -> str:
    return (
        f"After {last.users:,} users the challenger's reward differs from the control's by {last.estimate:+.4f},"
        f" with bounds {last.lower:+.4f} and {last.upper:+.4f}."
    )
