"""The confidence sequence of a rollout as SVG coordinates: all arithmetic of the picture, none of its markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.rollouts import RecordedVerdict

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 32
_TICKS = 5
_MOST_LOOKS = 300


@dataclass(frozen=True)
class Tick:
    """A place on the vertical axis, and its label."""

    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A confidence sequence over the looks at a rollout.

    Attributes:
        band: Points of the polygon between the bounds.
        line: Points of the estimates.
        ticks: Of the vertical axis.
        zero_y: Where no difference lies.
        first: Label of the first look.
        last: Label of the last look.
        words: The picture in a sentence, for those who do not see it.
    """

    band: str
    line: str
    ticks: tuple[Tick, ...]
    zero_y: float
    first: str
    last: str
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


@dataclass(frozen=True)
class _Look:
    users: int
    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    from_users: int
    to_users: int

    def x(self, users: int) -> float:
        span = max(self.to_users - self.from_users, 1)
        return round(_LEFT + (users - self.from_users) / span * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return round(_TOP + (self.high - inside) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM), 1)


def draw(verdicts: Sequence[RecordedVerdict]) -> Chart | None:
    """Return the picture, or None before two looks have both an estimate and its bounds.

    The horizontal axis counts users of both arms. The vertical one spans the bounds of the later half of the looks, in
    which they are narrow, and zero; what lies outside is drawn at the edge. Of many looks some are left out.
    """
    looks = [
        _Look(v.users_canary + v.users_control, v.estimate, v.lower, v.upper)
        for v in verdicts
        if v.estimate is not None and v.lower is not None and v.upper is not None
    ]
    if len(looks) < 2:
        return None
    looks = [*looks[: -1 : len(looks) // _MOST_LOOKS + 1], looks[-1]]
    scale = _scale(looks)
    upper = [f"{scale.x(look.users)},{scale.y(look.upper)}" for look in looks]
    lower = [f"{scale.x(look.users)},{scale.y(look.lower)}" for look in reversed(looks)]
    return Chart(
        band=" ".join(upper + lower),
        line=" ".join(f"{scale.x(look.users)},{scale.y(look.estimate)}" for look in looks),
        ticks=_ticks(scale),
        zero_y=scale.y(0.0),
        first=f"{looks[0].users:,} users",
        last=f"{looks[-1].users:,} users",
        words=_words(looks[-1]),
    )


def _scale(looks: Sequence[_Look]) -> _Scale:
    late = looks[len(looks) // 2 :]
    low, high = min(0.0, *(look.lower for look in late)), max(0.0, *(look.upper for look in late))
    margin = (high - low) * 0.05 or 1e-6
    return _Scale(low - margin, high + margin, looks[0].users, looks[-1].users)


def _ticks(scale: _Scale) -> tuple[Tick, ...]:
    step = (scale.high - scale.low) / (_TICKS - 1)
    values = [scale.low + step * number for number in range(_TICKS)]
    return tuple(Tick(scale.y(value), f"{value:+.4f}") for value in values)


def _words(last: _Look) -> str:
    return (
        f"After {last.users:,} users the challenger's reward differs from the control's by {last.estimate:+.4f},"
        f" with bounds {last.lower:+.4f} and {last.upper:+.4f}."
    )
