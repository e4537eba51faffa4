"""The drift decision: a CUSUM of each series' deviation from its own past, over any number of series at once.

A day is compared with the last `learning_days` judged days of the same series: the level by weekday and weekend, the
spread pooled over both. Days in alarm never enter the past, so a lasting shift does not become its own yardstick.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from monitoring.drift._past import Past
from monitoring.drift.series import Array


class CusumConfig(BaseModel):
    """When a deviation becomes an alarm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_days: int = Field(56, ge=8)
    """Judged days that the level and the spread are learned from."""
    distinct_days: int | None = Field(None, ge=2)
    """Days that were lived, where the history was drawn from fewer days than it counts, as a bootstrap does: its level
    is only as certain as they make it. None: as many as it counts."""
    guard_days: int = Field(7, ge=0)
    """Newest days that do not teach yet, so that a slow drift is not learned while it happens."""
    allowance: float = Field(1.0, gt=0)
    """Part of each day's deviation that is forgiven, in spreads (k)."""
    threshold: float | None = Field(None, gt=0)
    """Sum of deviations that alarms, in spreads (h); None: by the number of figures, 6 at 20 and 8 at 200."""
    margin: float = Field(1.25, ge=1)
    """A series whose own past already summed up to s alarms at `margin` x s at the earliest."""
    single_day: float = Field(0.55, gt=0, le=1)
    """One day adds at most `single_day` x the threshold, so that one odd day is no drift ..."""
    extreme: float = Field(1.35, ge=1)
    """... unless it lies more than `extreme` x the threshold away, which alarms at once: a changed unit, nulls."""
    recovery_days: int = Field(2, ge=1)
    """Days in a row within the allowance that end an alarm."""
    minimum_rows: int = Field(100, ge=1)
    """A day with fewer rows is insufficient."""
    minimum_users: int = Field(5, ge=1)
    """A day with fewer distinct users is insufficient."""

    def threshold_for(self, num_figures: int) -> float:
        """Return the threshold for a family of `num_figures` figures: 6 up to 20, then 2 more for ten times as many."""
        return self.threshold or 6.0 + 2.0 * max(0.0, float(np.log10(max(num_figures, 1) / 20)))


@dataclass(frozen=True)
class Track:
    """What the decision saw of S series over D days, (D, S) each; figures are meaningful on judged days only.

    Attributes:
        expected: Level that the series' own past predicts.
        spread: Day-to-day spread that it allows that day.
        residual: Deviation in spreads; NaN where not judged.
        bounded: The same, each as bounded as what it may add to a sum.
        threshold: Sum that alarms.
        statistic: The larger of the two running sums.
        is_judged: The day was usable and the past long enough.
        is_learning: The day was usable, the past too short.
        is_alarm: The series is in alarm at the end of that day.
        since: Number of the day on which the running sum left zero, which is the change's first day at the earliest.
    """

    expected: Array
    spread: Array
    residual: Array
    bounded: Array
    threshold: Array
    statistic: Array
    is_judged: NDArray[np.bool_]
    is_learning: NDArray[np.bool_]
    is_alarm: NDArray[np.bool_]
    since: NDArray[np.int64]

    def change(self, day: int, column: int) -> tuple[int, float]:
        """Return the day on which the running deviation of a series most likely began, and the mean residual since.

        A sum leaves zero on one day in six by chance, so that the deviation often seems to begin days before its cause.
        Of the days since, the first one is where a step of unknown size explains the residuals best: the sum of n of
        them, squared and divided by n, is largest.

        Source: maximum likelihood of a change point where the level before it is known, Hinkley (1970), section 2.

        Args:
            day: Up to when is looked; the series is in alarm.
            column: Number of the series.
        """
        days = np.arange(self.since[day, column], day + 1)
        days = days[self.is_judged[days, column]]
        tail = np.cumsum(self.bounded[days[::-1], column])[::-1]
        best = int(np.argmax(tail**2 / np.arange(len(days), 0, -1)))
        return int(days[best]), float(self.residual[days[best:], column].mean())


@dataclass
class _Sums:
    """The running sums of S series, upwards in row 0 and downwards in row 1, and the side that is in alarm."""

    sums: Array  # (2, S)
    total: Array  # (2, S) residuals since the sum left zero, each as bounded as what it adds
    length: NDArray[np.int64]  # (2, S) judged days since then
    since: NDArray[np.int64]  # (2, S) the day it left zero
    side: NDArray[np.int64]  # (S,) row in alarm, or -1
    calm: NDArray[np.int64]  # (S,) days in a row within the allowance

    @classmethod
    def start(cls, count: int) -> "_Sums":
        sums, total = np.zeros((2, 2, count))
        length, since = np.zeros((2, 2, count), dtype=np.int64)
        return cls(sums, total, length, since, np.full(count, -1), np.zeros(count, dtype=np.int64))

    def step(self, residual: Array, threshold: Array, *, known: Array, day: int, config: CusumConfig) -> None:
        """Add a day; NaN leaves a series as it is. The level is known from `known` days."""
        judged = np.isfinite(residual)
        sides = np.asarray([[1.0], [-1.0]])
        x = np.where(judged, residual, 0.0) * sides  # (2, S)
        gain = _tempered(self._unexplained(x, known), threshold, config) - config.allowance
        in_alarm = self.side >= 0
        quiet = np.where(self.side == 0, x[0], x[1]) < config.allowance
        self.calm = np.where(judged, np.where(in_alarm & quiet, self.calm + 1, 0), self.calm)
        ends = in_alarm & (self.calm >= config.recovery_days)
        sums = np.where(ends, 0.0, np.where(judged, np.maximum(0.0, self.sums + gain), self.sums))
        begins = (self.sums == 0) & (sums > 0)
        self.since = np.where(begins, day, self.since)
        bounded = _tempered(x, threshold, config)
        self.total = np.where(begins, bounded, self.total + bounded)
        self.length = np.where(begins, 1, self.length + judged)
        self.sums = sums
        raised = judged & ~in_alarm & (sums.max(axis=0) >= threshold)
        self.side = np.where(raised, sums.argmax(axis=0), np.where(ends, -1, self.side))
        self.calm = np.where(ends, 0, self.calm)

    def _unexplained(self, x: Array, known: Array) -> Array:
        """Return what of a day's residuals an uncertain level does not explain, (2, S).

        A level learned from m days is off by a chance of variance 1 / m. What the t days since the sum left zero say of
        it is taken off, and the rest has the variance 1 again: independent from day to day as long as nothing moves.

        Source: recursive residuals, Brown, Durbin and Evans (1975), equation 2, as used by the self-starting CUSUM of
        Hawkins (1987). We differ: the days of the running deviation alone update the level, and each is bounded.
        """
        runs = self.sums > 0
        days = known + np.where(runs, self.length, 0)
        level = np.where(runs, self.total, 0.0) / days
        return np.asarray((x - level) * np.sqrt(days / (days + 1)), dtype=np.float64)

    def largest(self) -> tuple[Array, NDArray[np.int64]]:
        """Return the sum, and the day it left zero, of the side in alarm, else of the larger side, (S,) each."""
        row = np.where(self.side >= 0, self.side, self.sums.argmax(axis=0))[None]
        sums, since = (np.take_along_axis(one, row, axis=0)[0] for one in (self.sums, self.since))
        return sums, since.astype(np.int64)


def _tempered(residual: Array, threshold: Array, config: CusumConfig) -> Array:
    """Bound what one day adds, unless it is so far out that it needs no second day."""
    limit = config.single_day * threshold + config.allowance
    is_extreme = np.abs(residual) >= config.extreme * threshold
    return np.where(is_extreme, residual, np.clip(residual, -limit, limit))


def run(
    values: Array,
    *,
    usable: NDArray[np.bool_],
    units: Array,
    floors: Array,
    weekend: NDArray[np.bool_],
    config: CusumConfig,
    num_figures: int,
) -> Track:
    """Judge S series over D days.

    Args:
        values: (D, S) on the judged scale; NaN where not computable.
        usable: (D, S) the day has enough rows; others keep every state as it was.
        units: (D, S) independent units behind each value: a day with fewer than usual is allowed more spread.
        floors: (D, S) least spread on the judged scale.
        weekend: (D,) the day is a Saturday or Sunday.
        config: When a deviation becomes an alarm.
        num_figures: Size of the family of figures that alarms together.

    Returns:
        The decision of each day, made from that day and earlier ones only.
    """
    days, count = values.shape
    usable = usable & np.isfinite(values)
    past = Past.empty(count, learning=config.learning_days, guard=config.guard_days)
    base = config.threshold_for(num_figures)
    sums = _Sums.start(count)
    track = _empty(days, count)
    for d in range(days):
        learned = past.learn(allowance=config.allowance)
        here = np.maximum(units[d], 1.0)
        spread = learned.spread * np.sqrt(np.maximum(1.0, learned.units / here))
        spread = np.maximum(np.maximum(spread, floors[d]), 1e-12)
        expected = learned.weekend_level if weekend[d] else learned.weekday_level
        judged = usable[d] & learned.is_ready
        residual = np.where(judged, (values[d] - expected) / spread, np.nan)
        threshold = np.maximum(base, config.margin * learned.excursion)
        known = learned.days if config.distinct_days is None else np.full(count, float(config.distinct_days))
        sums.step(residual, threshold, known=known, day=d, config=config)
        track.expected[d], track.spread[d], track.residual[d] = expected, spread, residual
        track.bounded[d], track.threshold[d] = _tempered(residual, threshold, config), threshold
        track.statistic[d], track.since[d] = sums.largest()
        track.is_judged[d], track.is_learning[d] = judged, usable[d] & ~learned.is_ready
        track.is_alarm[d] = sums.side >= 0
        past.push(usable[d] & (sums.side < 0), values[d], here, is_weekend=bool(weekend[d]))
    return track


def _empty(days: int, count: int) -> Track:
    expected, spread, residual, bounded, threshold, statistic = np.zeros((6, days, count))
    judged, learning, alarm = np.zeros((3, days, count), dtype=bool)
    since = np.zeros((days, count), dtype=np.int64)
    return Track(expected, spread, residual, bounded, threshold, statistic, judged, learning, alarm, since)
