"""How near each rule is to firing, and which is nearest: what a person asks of a rollout between two verdicts."""

import math
from dataclasses import dataclass

from monitoring.canary.arms import CanaryConfig
from monitoring.canary.case import SAMPLE_RATIO
from monitoring.canary.shadow_terms import ShadowConfig
from monitoring.canary.verdict import Verdict

WORSE = "primary_worse"
NON_INFERIOR = "non_inferior"


@dataclass(frozen=True)
class Limit:
    """One rule, the figure that it watches, and where it fires.

    Attributes:
        rule: Name of the rule.
        figure: What is compared: ``"e-value"``, ``"upper bound"`` or ``"lower bound"``, the bounds as a share of the
            control's ratio.
        value: The figure now; None where the evidence does not allow it yet.
        limit: Where the rule fires.
        nearness: 0 for no evidence at all, 1 where it fires: the log of the e-value over that of its limit, or the
            estimate's distance from the margin over the distance that would suffice.
        is_good: The rule promotes; all others end or hold the rollout.
    """

    rule: str
    figure: str
    value: float | None
    limit: float
    nearness: float
    is_good: bool = False


def outlook(verdict: Verdict, config: CanaryConfig) -> tuple[Limit, ...]:
    """Return every rule with a measured limit, the nearest first; rules of time and of missing data have none.

    Args:
        verdict: The look.
        config: The terms of the rollout.
    """
    found = [_of_e_value(name, value, _alpha(name, config)) for name, value in verdict.e_values.items()]
    if verdict.step >= 0:
        found += [_worse(verdict, config), _non_inferior(verdict, config)]
    return tuple(sorted(found, key=lambda limit: -limit.nearness))


def next_to_fire(limits: tuple[Limit, ...]) -> Limit | None:
    """Return the rule that is nearest to ending the rollout badly; None where nothing speaks against it."""
    return next((limit for limit in limits if not limit.is_good and limit.nearness > 0), None)


def _alpha(name: str, config: CanaryConfig) -> float:
    if name.startswith("shadow_"):
        return (config.shadow or ShadowConfig()).alpha
    return config.srm_alpha if name == SAMPLE_RATIO else config.guardrail_alpha


def _of_e_value(name: str, value: float, alpha: float) -> Limit:
    rule = name if name == SAMPLE_RATIO or name.startswith("shadow_") else f"guardrail:{name}"
    nearness = math.log(value) / -math.log(alpha) if value > 0 else 0.0
    return Limit(rule, "e-value", value, 1 / alpha, _within(nearness))


def _worse(verdict: Verdict, config: CanaryConfig) -> Limit:
    upper, estimate = verdict.relative_upper, verdict.relative
    limit = 0.0 - config.tolerance  # not the negative zero
    if upper is None or estimate is None or upper <= estimate:
        return Limit(WORSE, "upper bound", upper, limit, 0.0)
    return Limit(WORSE, "upper bound", upper, limit, _within((limit - estimate) / (upper - estimate)))


def _non_inferior(verdict: Verdict, config: CanaryConfig) -> Limit:
    lower, estimate = verdict.relative_lower, verdict.relative
    if lower is None or estimate is None or lower >= estimate:
        return Limit(NON_INFERIOR, "lower bound", lower, -config.delta, 0.0, is_good=True)
    nearness = (estimate + config.delta) / (estimate - lower)
    return Limit(NON_INFERIOR, "lower bound", lower, -config.delta, _within(nearness), is_good=True)


def _within(nearness: float) -> float:
    return min(max(nearness, 0.0), 1.0)
