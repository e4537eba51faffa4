"""The decision about a rollout at one look: evidence in, one action out, with the rule and the numbers in words."""

import math
from dataclasses import replace
from datetime import datetime

import numpy as np

from monitoring.canary.arms import ArmUnits, CanaryConfig, Evidence
from monitoring.canary.case import SAMPLE_RATIO, Case, Finding, is_usable
from monitoring.canary.reading import Reading, arm_moments, guardrail_log_e, read, sample_ratio_log_e
from monitoring.canary.rules import RULES
from monitoring.canary.verdict import Verdict
from monitoring.canary.words import sentence

_LOG_E_CAP = 690.0


def judge(evidence: Evidence, *, step: int, config: CanaryConfig, now: datetime) -> Verdict:
    """Decide what happens to a rollout.

    The chance that a model as good as the champion is ever rolled back by evidence is at most
    `config.false_rollback_budget`, and that a model worse by `config.delta` is ever promoted at most
    `config.promotion_alpha`, however often this is called, provided that the evidence is of the whole rollout.

    Args:
        evidence: Everything known about the rollout.
        step: Index of the current step in `config.steps`.
        config: The terms, the same at every look.
        now: The time of the look, with a time zone.

    Raises:
        ValueError: There is no such step, or `now` has no time zone.
    """
    if not 0 <= step < len(config.steps):
        raise ValueError(f"step {step!r} is not one of the rollout's {len(config.steps)}: count them from 0.")
    if now.tzinfo is None:
        raise ValueError(f"now {now!r} has no time zone: give a UTC datetime.")
    case = Case(
        evidence=evidence,
        step=step,
        config=config,
        now=now,
        reading=_reading(evidence, config),
        log_e=_log_e_values(evidence, config),
    )
    finding = next(found for rule in RULES if (found := rule(case)) is not None)
    return _verdict(case, finding)


def _reading(evidence: Evidence, config: CanaryConfig) -> Reading | None:
    arms = (evidence.canary, evidence.control)
    if not all(arm.users and np.all(is_usable(arm)) for arm in arms):
        return None
    return read(*arm_moments(*arms, config), config)


def _log_e_values(evidence: Evidence, config: CanaryConfig) -> dict[str, float]:
    values = {}
    for name in config.guardrails:
        counts = [_events_at_risk(arm, name) for arm in (evidence.canary, evidence.control)]
        if None not in counts:
            (events_canary, users_canary), (events_control, users_control) = np.array(counts, dtype=float)
            log_e = guardrail_log_e(
                events_canary, events_control, users_canary=users_canary, users_control=users_control
            )
            values[name] = float(log_e)
    assigned = np.array([evidence.assigned_canary, evidence.assigned_control], dtype=float)
    return {**values, SAMPLE_RATIO: float(sample_ratio_log_e(assigned[0], assigned[1]))}


def _events_at_risk(arm: ArmUnits, guardrail: str) -> tuple[int, int] | None:
    flags = arm.flags.get(guardrail)
    if flags is not None:
        return int(np.count_nonzero(flags)), flags.size
    if guardrail == "error" and arm.requests > 0:
        return arm.request_errors, arm.requests
    return None


def _verdict(case: Case, finding: Finding) -> Verdict:
    verdict = Verdict(
        action=finding.action,
        rule=finding.rule,
        words=sentence(case, finding),
        users_canary=case.evidence.canary.users,
        users_control=case.evidence.control.users,
        e_values={name: float(np.exp(min(value, _LOG_E_CAP))) for name, value in case.log_e.items()},
        step=case.step,
        is_demonstration=case.config.is_demonstration,
    )
    if case.reading is None:
        return verdict
    reading, base = case.reading, float(case.reading.ratio_control)
    return replace(
        verdict,
        ratio_canary=_finite(float(reading.ratio_canary)),
        ratio_control=_finite(base),
        estimate=_finite(float(reading.estimate)),
        lower=_finite(float(reading.lower)),
        upper=_finite(float(reading.upper)),
        relative=_share(float(reading.estimate), base),
        relative_lower=_share(float(reading.lower), base),
        relative_upper=_share(float(reading.upper), base),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _share(value: float, base: float) -> float | None:
    return _finite(value / base) if base else None
