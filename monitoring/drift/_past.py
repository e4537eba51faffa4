"""What a series' own past says: level by weekday and weekend, pooled spread, and how far the past itself strayed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.series import Array

_CLIP_LEVEL = 2.0
_CLIP_SPREAD = 3.0
_MAD_TO_SIGMA = 1.4826
_LEAST_OF_A_CLASS = 6
_CHANCE_CORRELATION = 0.1


@dataclass(frozen=True)
class Learned:
    """What the past of S series says, (S,) each.

    Attributes:
        weekday_level: Level on weekdays.
        weekend_level: Level on weekends; the weekday's where the past holds fewer than 6 of either.
        spread: Robust day-to-day spread on a day with `units`.
        units: Usual number of independent units a day.
        days: Number of days that the level was learned from, at least 1.
        excursion: Largest CUSUM of the past against its own level, in spreads.
        is_ready: The past holds enough days.
    """

    weekday_level: Array
    weekend_level: Array
    spread: Array
    units: Array
    days: Array
    excursion: Array
    is_ready: NDArray[np.bool_]


@dataclass(frozen=True)
class Past:
    """The newest days that may teach, oldest first, `learning` + `guard` a series; NaN where there are none yet.

    Attributes:
        values: (S, L + G) on the judged scale.
        units: (S, L + G) independent units of each day.
        weekend: (S, L + G) the day was a Saturday or Sunday.
        learning: L, days that teach.
        guard: G, newest days that do not teach yet once there are more than L.
    """

    values: Array
    units: Array
    weekend: NDArray[np.bool_]
    learning: int
    guard: int

    @classmethod
    def empty(cls, series: int, *, learning: int, guard: int) -> "Past":
        """Return the past of `series` series without any day."""
        shape = (series, learning + guard)
        return cls(np.full(shape, np.nan), np.ones(shape), np.zeros(shape, dtype=bool), learning, guard)

    def push(self, keep: NDArray[np.bool_], value: Array, units: Array, *, is_weekend: bool) -> None:
        """Append a day in place to the series in `keep`, dropping their oldest."""
        weekend = np.full(len(keep), is_weekend)
        for array, new in ((self.values, value), (self.units, units), (self.weekend, weekend)):
            if keep.all():
                array[:, :-1] = array[:, 1:].copy()
                array[:, -1] = new
            else:
                array[keep, :-1] = array[keep, 1:]
                array[keep, -1] = new[keep]

    def learn(self, *, allowance: float) -> Learned:
        """Learn from the days that teach."""
        count = np.isfinite(self.values).sum(axis=1)
        last = self.values.shape[1] - np.clip(count - self.learning, 0, self.guard)
        known = np.isfinite(self.values) & (np.arange(self.values.shape[1]) < last[:, None])
        weekday, weekend, residual = self._levels(known)
        usual = _median(self.units, known)
        relative = residual / np.sqrt(np.maximum(1.0, usual[:, None] / self.units))
        spread = _robust_spread(relative, known)
        spread = spread * _persistence(
            np.where(known, np.clip(relative, -3 * spread[:, None], 3 * spread[:, None]), 0.0)
        )
        steps = np.where(known, relative, 0.0) / np.maximum(spread, 1e-12)[:, None]
        days = np.maximum(known.sum(axis=1), 1).astype(np.float64)
        return Learned(weekday, weekend, spread, usual, days, _excursion(steps, allowance), count >= self.learning)

    def _levels(self, known: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        days_off, days_on = known & self.weekend, known & ~self.weekend
        split = (days_off.sum(axis=1) >= _LEAST_OF_A_CLASS) & (days_on.sum(axis=1) >= _LEAST_OF_A_CLASS)
        days_on = days_on | (known & ~split[:, None])
        days_off = np.where(split[:, None], days_off, known)
        on, off = _median(self.values, days_on), _median(self.values, days_off)
        is_off = self.weekend & split[:, None]
        residual = self.values - np.where(is_off, off[:, None], on[:, None])
        limit = _CLIP_LEVEL * _MAD_TO_SIGMA * _median(np.abs(residual), known)[:, None]
        clipped = np.clip(residual, -limit, limit)
        on = on + _mean(clipped, days_on)
        off = off + np.where(split, _mean(clipped, days_off), 0.0)
        off = np.where(split, off, on)
        return on, off, self.values - np.where(is_off, off[:, None], on[:, None])


def _robust_spread(relative: Array, known: NDArray[np.bool_]) -> Array:
    """Return the standard deviation after clipping at three robust sigmas; the plain one where most days are equal."""
    count = known.sum(axis=1)
    sigma = _MAD_TO_SIGMA * _median(np.abs(relative), known)
    limit = np.where(sigma > 0, _CLIP_SPREAD * sigma, np.inf)[:, None]
    squares = np.where(known, np.clip(relative, -limit, limit), 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=1) / np.maximum(count - 2, 1)), dtype=np.float64)


def _persistence(residual: Array) -> Array:
    """Return how much wider sums of days spread than of independent days: sqrt((1 + r) / (1 - r)).

    r is the correlation from day to day less its own chance, so that independent days are taken as such.
    """
    squares = np.maximum((residual**2).sum(axis=1), 1e-300)
    r = np.clip((residual[:, 1:] * residual[:, :-1]).sum(axis=1) / squares - _CHANCE_CORRELATION, 0.0, 0.8)
    return np.asarray(np.sqrt((1 + r) / (1 - r)), dtype=np.float64)


def _excursion(steps: Array, allowance: float) -> Array:
    up, down, most = (np.zeros(len(steps)) for _ in range(3))
    for step in steps.T:
        up = np.maximum(0.0, up + step - allowance)
        down = np.maximum(0.0, down - step - allowance)
        most = np.maximum(most, np.maximum(up, down))
    return most


def _median(values: Array, known: NDArray[np.bool_]) -> Array:
    """Return the median of each row's known values; 0 where there are none."""
    count = known.sum(axis=1)
    ordered = np.sort(np.where(known, values, np.inf), axis=1)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[:, None], axis=1)[:, 0]
    high = np.take_along_axis(ordered, np.maximum(count // 2, 0)[:, None], axis=1)[:, 0]
    safe = count > 0
    return np.where(safe, 0.5 * (np.where(safe, low, 0.0) + np.where(safe, high, 0.0)), 0.0)


def _mean(values: Array, known: NDArray[np.bool_]) -> Array:
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1), dtype=np.float64)
