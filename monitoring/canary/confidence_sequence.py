"""How far the primary metric can be trusted at any number of looks: a one-sided asymptotic confidence sequence."""

import math

import numpy as np

from monitoring.canary.arms import Floats
from monitoring.canary.ratio import Contrast


def mixture_rho(*, tuned_users: float, alpha: float) -> float:
    """Return the mixture's parameter that makes the sequence about tightest at `tuned_users`.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2021, "Time-uniform central limit theory and asymptotic
    confidence sequences", appendix B, with ``2 alpha`` in the place of alpha since the bound is one-sided.

    Args:
        tuned_users: Sample size, both arms together.
        alpha: Chance of ever being wrong, below 0.5.
    """
    spread = -2.0 * math.log(2.0 * alpha)
    return math.sqrt((spread + math.log(spread + 1.0)) / tuned_users)


def boundary(users: Floats, *, alpha: float, tuned_users: float) -> Floats:
    """Return how many standard errors the truth can lie beyond an estimate, at any look, except with chance `alpha`.

    The normal mixture is folded to the positive half: ``sqrt(2 (1 + 1/c) log(1 + sqrt(c + 1) / (2 alpha)))`` with
    ``c = users * rho ** 2``.

    Source: Waudby-Smith et al. 2021, appendix B (one-sided), there with the standard deviation and t in place of
    the standard error.

    Args:
        users: Sample size at each look, (...), both arms together.
        alpha: Chance of ever being wrong, below 0.5.
        tuned_users: Sample size at which the sequence is tightest.
    """
    clock = users * mixture_rho(tuned_users=tuned_users, alpha=alpha) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(2.0 * (1.0 + 1.0 / clock) * np.log1p(np.sqrt(clock + 1.0) / (2.0 * alpha))))


def lower_bound(contrast: Contrast, *, alpha: float, tuned_users: float) -> Floats:
    """Return the bound, (...), that the true contrast stays above at all looks, except with chance `alpha`.

    A variance of zero says that there is nothing to learn from, not that all is certain: the bound is NaN there, and
    no comparison with NaN holds.
    """
    return contrast.estimate - _radius(contrast, alpha, tuned_users)


def upper_bound(contrast: Contrast, *, alpha: float, tuned_users: float) -> Floats:
    """Return the bound, (...), that the true contrast stays below at all looks, except with chance `alpha`.

    NaN where the variance is zero, as for `lower_bound`.
    """
    return contrast.estimate + _radius(contrast, alpha, tuned_users)


def _radius(contrast: Contrast, alpha: float, tuned_users: float) -> Floats:
    error = np.sqrt(np.where(contrast.variance > 0, contrast.variance, np.nan))
    return np.asarray(error * boundary(contrast.users, alpha=alpha, tuned_users=tuned_users))
