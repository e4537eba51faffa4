"""How the primary metric is estimated: a ratio of sums over users, its variance by the delta method, CUPED for ratios.

Everything works on sums over users and broadcasts, so that one look or many looks of many rollouts are one call.
"""

from dataclasses import dataclass

import numpy as np

from monitoring.canary.arms import Floats


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of one arm: sums over its users of impressions n, reward y and covariate x.

    Every field is of the same shape (...): one value for one look, or any array of looks and rollouts.

    Attributes:
        users: Number of users.
        n: Sum of n.
        y: Sum of y.
        nn: Sum of n * n.
        ny: Sum of n * y.
        yy: Sum of y * y.
        x: Sum of x; zero without a covariate.
        xx: Sum of x * x.
        nx: Sum of n * x.
        xy: Sum of x * y.
    """

    users: Floats
    n: Floats
    y: Floats
    nn: Floats
    ny: Floats
    yy: Floats
    x: Floats
    xx: Floats
    nx: Floats
    xy: Floats

    @property
    def ratio(self) -> Floats:
        """Reward per impression; NaN without impressions."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.y / self.n)


@dataclass(frozen=True)
class Contrast:
    """``canary - factor * control`` of the two arms' ratios.

    Attributes:
        estimate: The contrast, (...).
        variance: Its estimated variance, (...).
        users: Users that two equal arms would need for the same balance, ``4 / (1/U1 + 1/U2)``, (...).
    """

    estimate: Floats
    variance: Floats
    users: Floats


def winsorise(impressions: Floats, reward: Floats, *, cap: float | None) -> Floats:
    """Cap each user's reward at `cap` an impression, (U,); a reward capped impression by impression stays as it is."""
    return reward if cap is None else np.minimum(reward, cap * impressions)


def moments(impressions: Floats, reward: Floats, covariate: Floats | None = None) -> Moments:
    """Sum over the last axis: (..., U) users -> (...) statistics. A missing covariate counts as zero throughout."""
    n, y = impressions, reward
    x = np.zeros_like(n) if covariate is None else covariate
    users = np.full(n.shape[:-1], float(n.shape[-1]))
    sums = [np.sum(column, axis=-1) for column in (n, y, n * n, n * y, y * y, x, x * x, n * x, x * y)]
    return Moments(users, *sums)


def fill_covariate(canary: Floats, control: Floats) -> tuple[Floats, Floats]:
    """Put the mean of the known covariates, over both arms, in the place of the unknown: they then adjust nothing.

    Whether a user has a history was settled before the rollout, so this cannot favour an arm. Without any known
    covariate all are 0.
    """
    known = np.concatenate([canary[np.isfinite(canary)], control[np.isfinite(control)]])
    mean = float(known.mean()) if known.size else 0.0
    return np.where(np.isfinite(canary), canary, mean), np.where(np.isfinite(control), control, mean)


def contrast(canary: Moments, control: Moments, *, margin: float = 0.0, use_covariate: bool = True) -> Contrast:
    """Estimate ``canary - (1 - margin) * control``: below 0 when the canary lost more than `margin` of the control.

    The variance of an arm's ratio is that of the mean over users of the residual ``e = y - ratio * n``, divided by the
    mean of n (delta method). With a covariate, ``theta * (x - mean of both arms)`` is taken off the reward, where theta
    is the slope of e on x within the arms; x was fixed before the rollout, so the expectation stays whatever the
    challenger does to y or n. Where x does not vary, theta is 0 and the adjustment is none.

    Source: Deng, Xu, Kohavi and Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", section 3 and appendix B; Deng, Knoblich and Lu 2018, "Applying the delta method in metric
    analytics", section 3. We differ in subtracting x per user, not per impression: impressions are themselves changed
    by a challenger.

    Args:
        canary: Sums over the canary's users, (...).
        control: Sums over the control's users, (...).
        margin: Share of the control's ratio that may be lost.
        use_covariate: False leaves the ratios unadjusted.

    Returns:
        Estimate and variance, (...); NaN or infinite where an arm has fewer than two users or no impressions.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = _slope(canary, control) if use_covariate else np.zeros_like(canary.ratio)
        centre = (canary.x + control.x) / (canary.users + control.users)
        factor = 1.0 - margin
        estimate = _adjusted(canary, slope, centre) - factor * _adjusted(control, slope, centre)
        variance = _variance(canary, slope) + factor**2 * _variance(control, slope)
        users = 4.0 / (1.0 / canary.users + 1.0 / control.users)
    return Contrast(np.asarray(estimate), np.asarray(variance), np.asarray(users))


def ratio_variance(arm: Moments) -> Floats:
    """Return the delta-method variance of an arm's ratio, (...), without adjustment."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _variance(arm, np.zeros_like(arm.ratio))


def _residual_covariate(arm: Moments) -> Floats:
    return arm.xy - arm.ratio * arm.nx  # the residuals sum to 0, so x needs no centring


def _spread(arm: Moments) -> Floats:
    return np.maximum(arm.xx - arm.x**2 / arm.users, 0.0)


def _slope(canary: Moments, control: Moments) -> Floats:
    spread = _spread(canary) + _spread(control)
    total = canary.xx + control.xx
    is_varying = spread > 1e-12 * total  # what cancellation alone leaves of a constant covariate
    slope = (_residual_covariate(canary) + _residual_covariate(control)) / np.where(is_varying, spread, 1.0)
    return np.where(is_varying, slope, 0.0)


def _adjusted(arm: Moments, slope: Floats, centre: Floats) -> Floats:
    return np.asarray(arm.ratio - slope * (arm.x - centre * arm.users) / arm.n)


def _variance(arm: Moments, slope: Floats) -> Floats:
    ratio = arm.ratio
    squares = arm.yy - 2.0 * ratio * arm.ny + ratio**2 * arm.nn
    squares = squares - 2.0 * slope * _residual_covariate(arm) + slope**2 * _spread(arm)
    return np.asarray(np.maximum(squares, 0.0) * arm.users / ((arm.users - 1.0) * arm.n**2))
