"""Rank correlation: of two columns, given a third, and of words with a column given a third."""

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the rank of each value from 1, equal values their mean rank, ``(N,)``."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)


def correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Return Pearson's correlation, of ranks that of Spearman; 0 where a side does not vary."""
    first, second = left - left.mean(), right - right.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def partial(left: NDArray[np.float64], right: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Return the correlation of what `given` leaves of both sides; 0 where it leaves nothing of one."""
    return correlation(_rest(left, given), _rest(right, given))


def association(groups: NDArray[np.int64], right: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Return how far groups explain what `given` leaves of `right`, as a correlation: 0 for not at all, 1 for wholly.

    The square root of the share of the variance between groups, adjusted for their number, so that many small groups
    explain nothing by chance.
    """
    rest = _rest(right, given)
    total = float(rest @ rest)
    counts = np.bincount(groups)
    freedom = len(rest) - int((counts > 0).sum())
    if total <= 0 or freedom < 1:
        return 0.0
    means = np.bincount(groups, weights=rest) / np.maximum(counts, 1)
    within = float(((rest - means[groups]) ** 2).sum())
    return float(np.sqrt(max(0.0, 1 - within / total * (len(rest) - 1) / freedom)))


def _rest(values: NDArray[np.float64], given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a straight line over `given` leaves, with mean 0; exactly 0 where it leaves rounding errors alone."""
    centred, base = values - values.mean(), given - given.mean()
    square = float(base @ base)
    rest = centred - (float(centred @ base) / square * base if square > 0 else 0.0)
    is_nothing = float(rest @ rest) <= 1e-12 * float(centred @ centred)
    return np.zeros_like(rest) if is_nothing else rest
