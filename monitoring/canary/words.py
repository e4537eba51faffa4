"""A verdict as one sentence a person can read: the numbers, the rule that fired, and what comes next."""

from datetime import timedelta

from monitoring.canary.arms import DEMONSTRATION_BELOW
from monitoring.canary.case import Case, Finding
from monitoring.canary.reading import Reading
from monitoring.canary.verdict import Action


def sentence(case: Case, finding: Finding) -> str:
    """Return the verdict's sentence, such as ``"Rollback by rule primary_worse: ...; next, ..."``."""
    parts = [
        f"{finding.action.value.capitalize()} by rule {finding.rule}: {finding.reason}",
        _metric(case),
        *_demonstration(case),
        f"next, {_next(case, finding)}",
    ]
    return "; ".join(parts) + "."


def _metric(case: Case) -> str:
    users = f"{case.evidence.canary.users:,} and {case.evidence.control.users:,} users with matured impressions"
    reading = case.reading
    if reading is None:
        return f"{users} on canary and control, too little to estimate {case.config.reward!r} per impression"
    ratios = (
        f"{case.config.reward!r} per impression is {reading.ratio_canary:.4f} on the canary "
        f"and {reading.ratio_control:.4f} on the control ({users})"
    )
    return f"{ratios}{_bounds(reading)}"


def _bounds(reading: Reading) -> str:
    if reading.ratio_control <= 0:
        return ""
    relative = reading.estimate / reading.ratio_control
    if not reading.is_readable:
        return f", {relative:+.1%}, which is not read yet"
    lower, upper = reading.lower / reading.ratio_control, reading.upper / reading.ratio_control
    return f", {relative:+.1%}, at any number of looks between {lower:+.1%} and {upper:+.1%}"


def _demonstration(case: Case) -> list[str]:
    if not case.config.is_demonstration:
        return []
    minimum = case.config.minimum_users
    return [f"a demonstration, since {minimum:,} users an arm suffice here and {DEMONSTRATION_BELOW:,} are needed"]


def _next(case: Case, finding: Finding) -> str:
    action, rule = finding.action, finding.rule
    deadline = f"{case.evidence.deadline_at:%Y-%m-%d %H:%M %Z}"
    if action is Action.ROLLBACK:
        return "the champion serves everyone"
    if action is Action.PROMOTE:
        return "the challenger becomes champion"
    if action is Action.ADVANCE:
        return f"the canary grows from {_share(case, 0)} to {_share(case, 1)}"
    if action is Action.HOLD and case.is_overdue:
        return "a person decides"
    if action is Action.HOLD and rule == "awaiting_approval":
        end = "is rolled back" if case.config.on_inconclusive == "rollback" else "is held for a person"
        return f"`everfeed canary promote` makes it champion, `everfeed canary abort` ends it; at {deadline} it {end}"
    if action is Action.HOLD:
        return f"the canary stays at {_share(case, 0)} and is rolled back at {deadline} unless this ends"
    if not case.is_last_step:
        return f"the canary stays at {_share(case, 0)} until the step is complete, or until {deadline}"
    if not case.has_lasted(case.config.minimum_step_seconds):
        ends = case.evidence.step_started_at + timedelta(seconds=case.config.minimum_step_seconds)
        return f"the canary stays at {_share(case, 0)} until {ends:%Y-%m-%d %H:%M %Z} at least"
    margin = f"the lower bound must rise above -{case.config.delta:.1%}"
    return f"the canary stays at {_share(case, 0)}: {margin} by {deadline}"


def _share(case: Case, ahead: int) -> str:
    return f"{case.config.steps[case.step + ahead]:.0%}"
