"""Intervals and tests that count people, not events: one user's many events are one draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, ndtr, ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates with intervals.

    Attributes:
        value: ``(G,)`` the estimates.
        lower: ``(G,)`` lower ends.
        upper: ``(G,)`` upper ends.
    """

    value: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, eq=False)
class Sums:
    """What a ratio of sums over users, and its variance, is made of; ``(G,)`` each.

    A user has `y` and `x`, such as long views and exposures.

    Attributes:
        users: Users with any `x`.
        y: Sum of `y`.
        x: Sum of `x`.
        yy: Sum of squares of `y`.
        xy: Sum of products.
        xx: Sum of squares of `x`.
    """

    users: Floats
    y: Floats
    x: Floats
    yy: Floats
    xy: Floats
    xx: Floats


def ratio_of_sums(sums: Sums) -> tuple[Floats, Floats]:
    """Return ``sum(y) / sum(x)`` and its variance when users are drawn, by linearisation.

    Source: Cochran, Sampling Techniques, 3rd ed., equation 6.13, without the finite population correction.

    Returns:
        The ratios and their variances, ``(G,)`` each; NaN without any `x`, an infinite variance with one user.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = sums.y / sums.x
        spread = np.maximum(sums.yy - 2 * ratio * sums.xy + ratio**2 * sums.xx, 0)
        variance = np.where(sums.users > 1, spread / sums.x**2 * sums.users / (sums.users - 1), np.inf)
    return ratio, variance


def share_interval(sums: Sums, *, confidence: float) -> Estimates:
    """Return shares with Wilson's interval at the number of independent events that the users are worth.

    The effective number is ``p (1 - p) / variance``, at most the number of events; where every event says the same, the
    number of users.
    """
    share, variance = ratio_of_sums(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = np.where(variance > 0, share * (1 - share) / variance, sums.users)
    worth = np.where((share <= 0) | (share >= 1), sums.users, np.minimum(worth, sums.x))
    return wilson(share, worth, confidence=confidence)


def wilson(share: ArrayLike, number: ArrayLike, *, confidence: float) -> Estimates:
    """Return Wilson's interval of shares of `number` draws; from 0 to 1 where there was none.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    p, n = np.asarray(share, np.float64), np.asarray(number, np.float64)
    z = float(ndtri((1 + confidence) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    is_known = n > 0
    lower = np.where(is_known, np.maximum(centre - half, 0), 0.0)
    upper = np.where(is_known, np.minimum(centre + half, 1), 1.0)
    return Estimates(p, np.minimum(lower, np.nan_to_num(p, nan=0.0)), np.maximum(upper, np.nan_to_num(p, nan=1.0)))


def normal_interval(value: Floats, variance: Floats, *, confidence: float) -> Estimates:
    """Return the symmetric interval of estimates that are nearly normal."""
    half = float(ndtri((1 + confidence) / 2)) * np.sqrt(variance)
    return Estimates(value, value - half, value + half)


def log_interval(log_value: Floats, variance: Floats, *, confidence: float) -> Estimates:
    """Return the interval of ratios whose logarithms are nearly normal."""
    inside = normal_interval(log_value, variance, confidence=confidence)
    with np.errstate(over="ignore"):
        return Estimates(np.exp(inside.value), np.exp(inside.lower), np.exp(inside.upper))


def upper_tail(z: Floats) -> Floats:
    """Return the probability that a standard normal variable is at least `z`."""
    tail: Floats = ndtr(-z)
    return tail


def binomial_tail(hits: Floats, draws: Floats, probability: ArrayLike) -> Floats:
    """Return the probability of at least `hits` of `draws`, exactly; 1 for no hits."""
    first = np.maximum(hits, 1)
    tail = betainc(first, draws - first + 1, np.asarray(probability, np.float64))
    found: Floats = np.where(hits <= 0, 1.0, tail)
    return found


def benjamini_hochberg(p: Floats) -> Floats:
    """Return the false discovery rate at which each test of a family is first a finding.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 1995.

    Returns:
        ``(G,)`` in the order given, each at least its own `p`.
    """
    number = len(p)
    order = np.argsort(p)
    scaled = p[order] * number / np.arange(1, number + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0) if number else scaled
    found = np.empty(number)
    found[order] = adjusted
    return found
