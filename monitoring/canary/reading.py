"""What one look shows, and which thresholds it crosses: the same functions for one rollout and for many at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.canary import eprocess, sample_ratio
from monitoring.canary.arms import ArmUnits, CanaryConfig, Floats
from monitoring.canary.confidence_sequence import lower_bound, upper_bound
from monitoring.canary.ratio import Moments, contrast, fill_covariate, moments, winsorise


@dataclass(frozen=True)
class Reading:
    """The primary metric at one look, or at an array of looks (...).

    Attributes:
        users_canary: Users of the canary, (...).
        users_control: Users of the control, (...).
        ratio_canary: Reward per impression, (...).
        ratio_control: Reward per impression, (...).
        estimate: Difference of the ratios, adjusted where there is a covariate, (...).
        lower: Lower bound of the difference, read at the margin: above ``-delta * ratio_control`` promotes, (...).
        upper: Upper bound of the difference, read at the tolerance: below ``-tolerance * ratio_control`` rolls back.
        is_readable: Both arms have the minimum of users and the variance is positive, (...).
        is_worse: The canary is below the control by more than the tolerance, (...).
        is_not_inferior: The canary is above the control less the margin, (...).
    """

    users_canary: Floats
    users_control: Floats
    ratio_canary: Floats
    ratio_control: Floats
    estimate: Floats
    lower: Floats
    upper: Floats
    is_readable: NDArray[np.bool_]
    is_worse: NDArray[np.bool_]
    is_not_inferior: NDArray[np.bool_]


def arm_moments(canary: ArmUnits, control: ArmUnits, config: CanaryConfig) -> tuple[Moments, Moments]:
    """Sum both arms over their users with impressions: rewards winsorised, unknown covariates filled."""
    covariates = _covariates(canary, control) if config.use_covariate else (None, None)
    return _sums(canary, covariates[0], config), _sums(control, covariates[1], config)


def read(canary: Moments, control: Moments, config: CanaryConfig) -> Reading:
    """Estimate the primary metric and its bounds, (...).

    The bounds are those of ``canary - (1 - margin) * control`` with the control's own noise in it, so that a margin
    relative to the control is tested exactly; they are given as bounds of the difference by taking the margin off.
    """
    at_tolerance = contrast(canary, control, margin=config.tolerance, use_covariate=config.use_covariate)
    at_delta = contrast(canary, control, margin=config.delta, use_covariate=config.use_covariate)
    above = upper_bound(at_tolerance, alpha=config.alpha, tuned_users=config.tuned_users)
    below = lower_bound(at_delta, alpha=config.promotion_alpha, tuned_users=config.tuned_users)
    is_enough = np.minimum(canary.users, control.users) >= config.minimum_users
    is_readable = is_enough & np.isfinite(above) & np.isfinite(below)
    return Reading(
        users_canary=canary.users,
        users_control=control.users,
        ratio_canary=canary.ratio,
        ratio_control=control.ratio,
        estimate=contrast(canary, control, use_covariate=config.use_covariate).estimate,
        lower=np.asarray(below - config.delta * control.ratio),
        upper=np.asarray(above - config.tolerance * control.ratio),
        is_readable=np.asarray(is_readable),
        is_worse=np.asarray(is_readable & (above < 0)),
        is_not_inferior=np.asarray(is_readable & (below > 0)),
    )


def guardrail_log_e(
    events_canary: Floats, events_control: Floats, *, users_canary: Floats, users_control: Floats
) -> Floats:
    """Return a guardrail's log e-value, (...), from the users who met it and the users at risk in each arm."""
    return eprocess.guarded_log_e_value(
        events_canary, events_control, users_canary=users_canary, users_control=users_control
    )


def sample_ratio_log_e(users_canary: Floats, users_control: Floats) -> Floats:
    """Return the log e-value, (...), against an even split of the assigned users."""
    return sample_ratio.log_e_value(np.stack(np.broadcast_arrays(users_canary, users_control), axis=-1))


def is_alarm(log_e: Floats, *, alpha: float) -> NDArray[np.bool_]:
    """Whether evidence has reached ``1 / alpha``, (...)."""
    return np.asarray(log_e >= -np.log(alpha))


def _covariates(canary: ArmUnits, control: ArmUnits) -> tuple[Floats | None, Floats | None]:
    if canary.covariate is None or control.covariate is None:
        return None, None
    return fill_covariate(canary.covariate, control.covariate)


def _sums(arm: ArmUnits, covariate: Floats | None, config: CanaryConfig) -> Moments:
    is_shown = arm.impressions > 0
    impressions = arm.impressions[is_shown]
    reward = winsorise(impressions, arm.reward[is_shown], cap=config.reward_cap)
    return moments(impressions, reward, None if covariate is None else covariate[is_shown])
