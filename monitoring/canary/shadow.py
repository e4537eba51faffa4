"""The decision about a challenger that answers unseen: its answers beside the champion's, before anybody meets it."""

import math
from datetime import datetime

import numpy as np

from monitoring.canary.eprocess import log_e_value
from monitoring.canary.shadow_rules import LOG_E_CAP, SHADOW_RULES, ShadowCase, ShadowFinding
from monitoring.canary.shadow_terms import ShadowConfig, ShadowEvidence
from monitoring.canary.verdict import Action, Verdict

__all__ = ["SHADOW_STEP", "ShadowConfig", "ShadowEvidence", "judge_shadow", "share_log_e"]

SHADOW_STEP = -1
"""The step of a rollout, and of a verdict, in the shadow stage."""


def judge_shadow(
    evidence: ShadowEvidence, *, config: ShadowConfig, now: datetime, started_at: datetime, deadline_at: datetime
) -> Verdict:
    """Decide whether a challenger leaves the shadow stage for its first visitors.

    Args:
        evidence: What both models answered so far.
        config: The terms, the same at every look.
        now: The time of the look, with a time zone.
        started_at: When the stage began.
        deadline_at: When it must have ended.

    Returns:
        CONTINUE, ADVANCE, HOLD or ROLLBACK; never PROMOTE. No user met the challenger, so the users are 0 and the
        primary metric is None.

    Raises:
        ValueError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"now {now!r} has no time zone: give a UTC datetime.")
    case = ShadowCase(evidence, config, now, started_at, deadline_at, _log_e_values(evidence, config))
    finding = next(found for rule in SHADOW_RULES if (found := rule(case)) is not None)
    return Verdict(
        action=finding.action,
        rule=finding.rule,
        words=_sentence(case, finding),
        users_canary=0,
        users_control=0,
        e_values={name: math.exp(min(value, LOG_E_CAP)) for name, value in case.log_e.items()},
        step=SHADOW_STEP,
    )


def share_log_e(events: int, requests: int, *, limit: float) -> float:
    """Return the log e-value against "each request is an event with chance `limit` at most".

    A request is one fair draw where the limit holds, so ``(p / limit) ** k * ((1 - p) / (1 - limit)) ** (n - k)`` is a
    supermartingale for every p above the limit, and so is its mixture; by Ville's inequality it reaches 1 / alpha with
    chance alpha at most, over all looks. It counts requests, so that what one user's habits cause is counted as often
    as that user comes: only for events that should be rare whoever asks.

    Source: Robbins 1970, "Statistical methods related to the law of the iterated logarithm", section 3; Howard, Ramdas,
    McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", section 3; the mixture
    is that of the guardrails, where the limit stands in the place of the canary's share.
    """
    return float(log_e_value(np.array(float(events)), np.array(float(requests - events)), share=limit))


def _log_e_values(evidence: ShadowEvidence, config: ShadowConfig) -> dict[str, float]:
    counts = {
        "shadow_error": (evidence.errors, config.error_share),
        "shadow_late": (evidence.late, config.late_share),
        "shadow_short": (evidence.short, config.short_share),
    }
    return {name: share_log_e(events, evidence.requests, limit=limit) for name, (events, limit) in counts.items()}


def _sentence(case: ShadowCase, finding: ShadowFinding) -> str:
    after = {
        Action.ROLLBACK: "the champion goes on alone; nobody has met the challenger",
        Action.ADVANCE: "the challenger meets its first users",
        Action.HOLD: f"the challenger stays unseen and is rolled back at {case.deadline_at:%Y-%m-%d %H:%M %Z} "
        "unless this ends",
        Action.CONTINUE: f"the challenger stays unseen until the stage is complete, or until "
        f"{case.deadline_at:%Y-%m-%d %H:%M %Z}",
    }
    action = finding.action
    return f"{action.value.capitalize()} in shadow by rule {finding.rule}: {finding.reason}; next, {after[action]}."
