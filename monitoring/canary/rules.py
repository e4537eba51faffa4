"""The rules of a rollout, one function each, in the order in which they are asked; the first that answers decides.

What can only roll back comes first, so that a tie is a rollback; then what makes the evidence unusable; promotion and
advance come after, and the deadline last. No rule reads missing data as good news.
"""

from datetime import timedelta

import numpy as np

from monitoring.canary.arms import ArmUnits
from monitoring.canary.case import SAMPLE_RATIO, Case, Finding, Rule, is_usable, unusable
from monitoring.canary.reading import is_alarm
from monitoring.canary.verdict import Action


def never_event(case: Case) -> Finding | None:
    """Roll back at the first non-finite score or blocked item; the control's are the champion's matter."""
    canary = case.evidence.canary
    if canary.non_finite > 0:
        reason = f"the challenger answered with a non-finite score ({canary.non_finite:,} times), and one is too many"
        return Finding(Action.ROLLBACK, "non_finite_score", reason)
    if canary.blocked > 0:
        reason = f"the challenger showed a blocked item ({canary.blocked:,} times), and one is too many"
        return Finding(Action.ROLLBACK, "blocked_item", reason)
    return None


def guardrail(case: Case) -> Finding | None:
    """Roll back when a guardrail is met by more users of the canary than of the control; the strongest is named."""
    alarms = {
        name: value
        for name, value in case.log_e.items()
        if name != SAMPLE_RATIO and is_alarm(np.asarray(value), alpha=case.config.guardrail_alpha)
    }
    if not alarms:
        return None
    name = max(alarms, key=lambda key: alarms[key])
    canary, control = (_users_met(arm, name) for arm in (case.evidence.canary, case.evidence.control))
    reason = (
        f'the guardrail "{name}" was met by {canary} of the canary against {control} of the control '
        f"(e-value {_e(alarms[name])}, limit {1 / case.config.guardrail_alpha:,.0f})"
    )
    return Finding(Action.ROLLBACK, f"guardrail:{name}", reason)


def worse(case: Case) -> Finding | None:
    """Roll back when the primary metric's upper bound is below the tolerance."""
    if case.reading is None or not case.reading.is_worse:
        return None
    limit = f"-{case.config.tolerance:.1%}" if case.config.tolerance else "0"
    return Finding(Action.ROLLBACK, "primary_worse", f"the upper bound is below {limit}")


def invalid(case: Case) -> Finding | None:
    """Hold on numbers that cannot be: NaN, infinite or negative, or a newest event in the future."""
    for name, arm in (("canary", case.evidence.canary), ("control", case.evidence.control)):
        count = np.count_nonzero(~is_usable(arm))
        if count:
            reason = f"{count:,} users of the {name} have impressions or rewards that are NaN, infinite or negative"
            return unusable(case, "invalid_data", reason)
    newest = case.evidence.newest_at
    if newest is not None and newest - case.now > timedelta(seconds=case.config.stale_seconds):
        return unusable(case, "invalid_data", f"the newest event is of {newest:%Y-%m-%d %H:%M:%S %Z}, in the future")
    return None


def silent(case: Case) -> Finding | None:
    """Hold when no event came for `stale_seconds`; a step that has just begun is given as long."""
    newest = case.evidence.newest_at
    since = case.evidence.step_started_at if newest is None else max(newest, case.evidence.step_started_at)
    if case.now - since <= timedelta(seconds=case.config.stale_seconds) and not case.is_overdue:
        return None
    if newest is None:
        return unusable(case, "no_data", "no event has arrived")
    if case.now - newest <= timedelta(seconds=case.config.stale_seconds):
        return None
    age = (case.now - newest).total_seconds()
    reason = f"the newest event is {age:,.0f} seconds old, more than the {case.config.stale_seconds:,.0f} allowed"
    return unusable(case, "stale_data", reason)


def no_traffic(case: Case) -> Finding | None:
    """Hold when an arm has no users or none has matured, once labels have had the time to."""
    if not case.is_overdue and not case.has_lasted(case.config.stale_seconds):
        return None
    evidence = case.evidence
    for name, users in (("canary", evidence.assigned_canary), ("control", evidence.assigned_control)):
        if users == 0:
            return unusable(case, "no_traffic", f"no user reached the {name}")
    if not case.is_overdue and not case.has_lasted(case.config.label_window_seconds + case.config.stale_seconds):
        return None
    for name, arm in (("canary", evidence.canary), ("control", evidence.control)):
        if arm.users == 0:
            return unusable(case, "no_traffic", f"no impression of the {name} has matured")
    return None


def silent_outcomes(case: Case) -> Finding | None:
    """Hold when the champion, over the minimum of users, earned nothing: the outcomes are missing, not the interest."""
    control = case.evidence.control
    if control.users < case.config.minimum_users or np.any(control.reward > 0):
        return None
    reason = f"not one of the {control.users:,} users of the control has a {case.config.reward!r} outcome"
    return unusable(case, "no_outcomes", reason)


def unmeasured(case: Case) -> Finding | None:
    """Hold when users have been seen and a guardrail that was agreed on was not measured on them."""
    missing = [name for name in case.config.guardrails if name not in case.log_e]
    if not missing or not case.evidence.canary.users or not case.evidence.control.users:
        return None
    return unusable(case, "guardrail_missing", f"the evidence lacks the guardrails {', '.join(missing)}")


def split_broken(case: Case) -> Finding | None:
    """Hold when users do not fall evenly into the arms: the experiment is broken, and not the model."""
    value = case.log_e[SAMPLE_RATIO]
    if not is_alarm(np.asarray(value), alpha=case.config.srm_alpha):
        return None
    evidence = case.evidence
    total = evidence.assigned_canary + evidence.assigned_control
    reason = (
        f"the split is broken: {evidence.assigned_canary:,} users on the canary and {evidence.assigned_control:,} on "
        f"the control, {evidence.assigned_canary / total:.1%} instead of 50.0% (e-value {_e(value)}, "
        f"limit {1 / case.config.srm_alpha:,.0f})"
    )
    return unusable(case, SAMPLE_RATIO, reason)


def good(case: Case) -> Finding | None:
    """Promote on non-inferiority at the last step; advance from the others after their minimum time and users."""
    if case.reading is None or not case.has_lasted(case.config.minimum_step_seconds):
        return None
    if case.is_last_step:
        if not case.reading.is_not_inferior:
            return None
        reason = f"the lower bound is above -{case.config.delta:.1%}"
        return _await_approval(case, reason) if case.config.requires_approval else _promote(reason)
    if not case.reading.is_readable:
        return None
    reason = f"no rule fired in the minimum time of {case.config.minimum_step_seconds:,.0f} seconds"
    return Finding(Action.ADVANCE, "step_complete", reason)


def _promote(reason: str) -> Finding:
    return Finding(Action.PROMOTE, "non_inferior", reason)


def _await_approval(case: Case, reason: str) -> Finding:
    """Hold what would be promoted for a person; at the deadline nobody has approved, and policy decides."""
    if not case.is_overdue:
        return Finding(Action.HOLD, "awaiting_approval", f"{reason}, and a promotion needs a person's approval")
    return Finding(_by_policy(case), "not_approved", f"{reason}, but nobody approved the promotion before the deadline")


def overdue(case: Case) -> Finding | None:
    """End an inconclusive step at its deadline, by policy: hold or roll back, never promote."""
    if not case.is_overdue:
        return None
    return Finding(_by_policy(case), "inconclusive_at_deadline", "the deadline came before the evidence was conclusive")


def _by_policy(case: Case) -> Action:
    return Action.ROLLBACK if case.config.on_inconclusive == "rollback" else Action.HOLD


def undecided(case: Case) -> Finding:
    """Go on: nothing fired."""
    users = min(case.evidence.canary.users, case.evidence.control.users)
    if users < case.config.minimum_users:
        reason = f"{users:,} users in the smaller arm are below the minimum of {case.config.minimum_users:,}"
        return Finding(Action.CONTINUE, "too_few_users", reason)
    return Finding(Action.CONTINUE, "undecided", "no rule has fired")


RULES: tuple[Rule, ...] = (
    never_event,
    guardrail,
    worse,
    invalid,
    silent,
    no_traffic,
    silent_outcomes,
    unmeasured,
    split_broken,
    good,
    overdue,
    undecided,
)


def _users_met(arm: ArmUnits, name: str) -> str:
    flags = arm.flags.get(name)
    if flags is None:
        return f"{arm.request_errors:,} of {arm.requests:,} requests"
    return f"{np.count_nonzero(flags):,} of {flags.size:,} users"


def _e(log_e: float) -> str:
    return f"{np.exp(min(log_e, 690.0)):,.0f}" if log_e < 20 else f"1e{log_e / np.log(10):.0f}"
