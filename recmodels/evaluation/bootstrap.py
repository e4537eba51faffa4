"""The bootstrap over users: which interval a mean over users carries. One user is one draw, whatever they did."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        lower: Lower end.
        upper: Upper end.
    """

    lower: float
    upper: float


def bootstrap_means(values: NDArray[np.float64], *, samples: int, seed: int) -> NDArray[np.float64]:
    """Return the means of `values` over users drawn again with replacement.

    Each sample draws as many users as there are, and every column sees the same draws, so differences of columns are
    paired. A NaN is a user without a value in that column and stays out of that column's mean.

    Args:
        values: ``(U, M)`` one row a user, one column a metric.
        samples: Number of samples S.
        seed: Fixes the draws.

    Returns:
        ``(S, M)`` means; NaN where a sample drew no user with a value.

    Raises:
        ValueError: There is no user.
    """
    num_users = len(values)
    if num_users == 0:
        raise ValueError("there is no user to draw from; evaluate on at least one query.")
    rng = np.random.default_rng(seed)
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    probabilities = np.full(num_users, 1.0 / num_users)
    step = max(1, _DRAWS_AT_ONCE // num_users)
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, step):
        stop = min(start + step, samples)
        weights = rng.multinomial(num_users, probabilities, size=stop - start).astype(np.float64)  # (s, U)
        counts = weights @ present.astype(np.float64)
        means[start:stop] = np.where(counts > 0, weights @ filled / np.maximum(counts, 1), np.nan)
    return means


def percentile_interval(samples: NDArray[np.float64], *, confidence: float) -> Interval:
    """Return the interval that leaves out equal shares of the samples on both sides; NaN samples are left out.

    Returns:
        Both ends NaN when no sample has a value.
    """
    finite = samples[np.isfinite(samples)]
    if len(finite) == 0:
        return Interval(np.nan, np.nan)
    lower, upper = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(lower), float(upper))
