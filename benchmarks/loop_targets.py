"""What the closed loop must do, beside what it did."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.loop_days import Lived

MOST_DELAY_DAYS = 2
RECOVERY = 0.5


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        what: What is judged.
        target: What is asked.
        measured: What was seen.
        holds: Whether it is reached.
    """

    what: str
    target: str
    measured: str
    holds: bool


def judge(lived: Lived, *, stable_days: int) -> list[Target]:
    """Hold the targets against what happened."""
    shift = lived.sizes.shift_day
    assert shift is not None, "tastes shift in this loop"
    before = [one for one in lived.incidents if one["opened"] < shift]
    after = [one for one in lived.incidents if one["opened"] >= shift]
    opened = min((one["opened"] for one in after), default=None)
    resolved = [one["resolved"] for one in after]
    promoted = [day for _, day in lived.champions if day >= shift]
    usual = _mean(lived.rates[shift - 7 : shift])
    worst = min(lived.rates[shift : shift + 5])
    end = len(lived.rates)
    last = _mean(lived.rates[-7:])
    quiet = quiet_days([(one["opened"], one["resolved"]) for one in after], end=end)
    recovered = (last - worst) / max(usual - worst, 1e-9)
    return [
        Target("incidents before the shift", "0", str(len(before)), not before),
        Target(
            f"incident after the shift on day {shift}",
            f"open by day {shift + MOST_DELAY_DAYS}",
            "none" if opened is None else f"day {opened}",
            opened is not None and opened < shift + MOST_DELAY_DAYS + 1,
        ),
        Target(
            "retrains",
            "at least 1",
            "; ".join(f"{one.retrain_id} {one.outcome}" for one in lived.retrains),
            any(one.outcome == "challenger" for one in lived.retrains),
        ),
        Target("its model is promoted", "yes", ", ".join(f"day {day}" for day in promoted) or "no", bool(promoted)),
        Target(
            "the click rate comes back",
            f">= {RECOVERY:.0%} of what was lost",
            f"{usual:.3f} -> {worst:.3f} -> {last:.3f} ({recovered:.0%})",
            recovered >= RECOVERY,
        ),
        Target(
            "every incident resolves",
            "yes",
            ", ".join(f"day {day}" for day in resolved),
            bool(resolved) and None not in resolved,
        ),
        Target("stable days after it without anything", f">= {stable_days}", str(quiet), quiet >= stable_days),
        Target("requests not answered", "0", str(lived.failed), lived.failed == 0),
    ]


def quiet_days(incidents: Sequence[tuple[float, float | None]], *, end: int) -> int:
    """Return the whole days from the first night on which every incident had resolved until one opened again.

    Args:
        incidents: When each opened, and resolved; None for one that did not.
        end: Days that were lived.
    """
    ended: float | None = None
    for opened, resolved in sorted(incidents, key=lambda one: one[0]):
        if ended is not None and opened > ended:
            return int(opened) - int(ended)
        if resolved is None:
            return 0
        ended = resolved if ended is None else max(ended, resolved)
    return 0 if ended is None else end - int(ended)


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)
