"""The rules of the shadow stage, in the order in which they are asked; the first that answers decides.

What is certain, or holds over all looks (a non-finite score, a blocked item, an e-value), rolls back. What is a plain
threshold on a statistic (latency, coverage, overlap) holds: the share is 0 while it does, more requests or a person
may clear it, and the deadline rolls back. No rule reads missing data as good news.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitoring.canary.shadow_terms import ShadowConfig, ShadowEvidence
from monitoring.canary.verdict import Action

LOG_E_CAP = 690.0
"""Logs above this leave the range of floats."""


@dataclass(frozen=True)
class ShadowCase:
    """One look at the shadow stage: the evidence, the terms, and the log e-values computed from them."""

    evidence: ShadowEvidence
    config: ShadowConfig
    now: datetime
    started_at: datetime
    deadline_at: datetime
    log_e: dict[str, float]

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has come."""
        return self.now >= self.deadline_at

    @property
    def is_readable(self) -> bool:
        """Whether enough requests were compared for a plain threshold."""
        return self.evidence.requests >= self.config.minimum_requests


@dataclass(frozen=True)
class ShadowFinding:
    """What a rule found: the action, the rule's name, and the reason as the first half of a sentence."""

    action: Action
    rule: str
    reason: str


def never_event(case: ShadowCase) -> ShadowFinding | None:
    """Roll back at the first non-finite score or blocked item."""
    evidence = case.evidence
    if evidence.non_finite > 0:
        reason = f"the challenger gave a score that is not a finite number ({evidence.non_finite:,} times)"
        return ShadowFinding(Action.ROLLBACK, "shadow_non_finite", f"{reason}, and one is too many")
    if evidence.blocked > 0:
        reason = f"the challenger listed an item that may not be shown ({evidence.blocked:,} times)"
        return ShadowFinding(Action.ROLLBACK, "shadow_blocked", f"{reason}, and one is too many")
    return None


def too_often(case: ShadowCase) -> ShadowFinding | None:
    """Roll back when errors, late or short answers are surely above their limit; the strongest is named."""
    evidence, config = case.evidence, case.config
    name = max(case.log_e, key=lambda key: case.log_e[key])
    if case.log_e[name] < -math.log(config.alpha):
        return None
    words = {
        "shadow_error": ("failed on", evidence.errors, config.error_share),
        "shadow_late": ("took longer than a model may on", evidence.late, config.late_share),
        "shadow_short": ("listed fewer items than the champion on", evidence.short, config.short_share),
    }
    verb, events, limit = words[name]
    reason = (
        f"the challenger {verb} {events:,} of {evidence.requests:,} requests, surely more than {limit:.1%} "
        f"(e-value {math.exp(min(case.log_e[name], LOG_E_CAP)):,.4g}, limit {1 / config.alpha:,.0f})"
    )
    return ShadowFinding(Action.ROLLBACK, "shadow_slow" if name == "shadow_late" else name, reason)


def silent(case: ShadowCase) -> ShadowFinding | None:
    """Hold when no request was compared for `stale_seconds`; a stage that has just begun is given as long."""
    newest, allowed = case.evidence.newest_at, timedelta(seconds=case.config.stale_seconds)
    if case.evidence.requests == 0 or newest is None:
        if case.now - case.started_at <= allowed and not case.is_overdue:
            return None
        return _unusable(case, "shadow_no_data", "no request was answered by both models")
    if newest - case.now > allowed:
        reason = f"the newest request is of {newest:%Y-%m-%d %H:%M:%S %Z}, in the future"
        return _unusable(case, "shadow_invalid_data", reason)
    if case.now - max(newest, case.started_at) <= allowed:
        return None
    age = (case.now - newest).total_seconds()
    reason = f"the newest request is {age:,.0f} seconds old, more than the {case.config.stale_seconds:,.0f} allowed"
    return _unusable(case, "shadow_stale_data", reason)


def slow(case: ShadowCase) -> ShadowFinding | None:
    """Hold when the challenger is slower than the champion, beyond what anybody feels."""
    evidence, config = case.evidence, case.config
    if not case.is_readable:
        return None
    champion = evidence.champion_p99_seconds
    for what, seconds, factor in (
        ("99th percentile", evidence.p99_seconds, config.slow_factor),
        ("median", evidence.median_seconds, 1.0),
    ):
        limit = max(config.slow_floor_seconds, factor * champion)
        if not seconds <= limit:  # NaN is no good news either
            reason = (
                f"the {what} of the challenger's latency is {1000 * seconds:,.0f} ms, above {1000 * limit:,.0f} ms "
                f"(the champion's 99th percentile is {1000 * champion:,.1f} ms)"
            )
            return _unusable(case, "shadow_slow", reason)
    return None


def narrow(case: ShadowCase) -> ShadowFinding | None:
    """Hold when the challenger knows a few items only, where the champion shows many."""
    evidence = case.evidence
    limit = case.config.coverage_share * evidence.champion_distinct_items
    if not case.is_readable or evidence.distinct_items >= limit:
        return None
    reason = (
        f"the challenger's lists hold {evidence.distinct_items:,} different items and the champion's "
        f"{evidence.champion_distinct_items:,} on the same requests; at least {limit:,.0f} are asked"
    )
    return _unusable(case, "shadow_coverage", reason)


def foreign(case: ShadowCase) -> ShadowFinding | None:
    """Hold when the two models do not speak of the same items: swapped ids, or another vocabulary."""
    overlap, limit = case.evidence.overlap_mean, case.config.minimum_overlap
    if not case.is_readable or overlap >= limit:
        return None
    reason = (
        f"{overlap:.1%} of the champion's list is in the challenger's on average, below {limit:.1%}: two models of the "
        "same people agree on more, so ids may be swapped or the vocabulary stale; a person who knows better may "
        "`everfeed canary advance`"
    )
    return _unusable(case, "shadow_overlap", reason)


def good(case: ShadowCase) -> ShadowFinding | None:
    """Advance after the minimum of requests and time."""
    config = case.config
    if not case.is_readable or case.now - case.started_at < timedelta(seconds=config.minimum_seconds):
        return None
    evidence = case.evidence
    reason = (
        f"no rule fired on {evidence.requests:,} requests ({evidence.errors:,} errors, overlap "
        f"{evidence.overlap_mean:.1%}, 99th percentile {1000 * evidence.p99_seconds:,.1f} ms)"
    )
    return ShadowFinding(Action.ADVANCE, "shadow_complete", reason)


def overdue(case: ShadowCase) -> ShadowFinding | None:
    """Roll back at the deadline: nobody has met the challenger, so nobody loses anything."""
    if not case.is_overdue:
        return None
    reason = f"the deadline came after {case.evidence.requests:,} of {case.config.minimum_requests:,} requests"
    return ShadowFinding(Action.ROLLBACK, "shadow_inconclusive", reason)


def undecided(case: ShadowCase) -> ShadowFinding:
    """Go on: nothing fired."""
    evidence, config = case.evidence, case.config
    if not case.is_readable:
        reason = f"{evidence.requests:,} requests are below the minimum of {config.minimum_requests:,}"
        return ShadowFinding(Action.CONTINUE, "shadow_too_few_requests", reason)
    return ShadowFinding(Action.CONTINUE, "shadow_undecided", "no rule has fired, and the stage is young")


SHADOW_RULES: tuple[Callable[[ShadowCase], ShadowFinding | None], ...] = (
    never_event,
    too_often,
    silent,
    slow,
    narrow,
    foreign,
    good,
    overdue,
    undecided,
)


def _unusable(case: ShadowCase, rule: str, reason: str) -> ShadowFinding:
    if case.is_overdue:
        return ShadowFinding(Action.ROLLBACK, rule, f"{reason}, and the deadline has come")
    return ShadowFinding(Action.HOLD, rule, reason)
