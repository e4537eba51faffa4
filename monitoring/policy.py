"""Policy: what drift leads to. Drift does not retrain by itself; this does, within its limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from monitoring.incidents import figure_of
from monitoring.result import COUNTS_ROWS, CheckResult, Status

LEARNABLE = ("population", "catalogue", "model")
"""Families whose drift new data can teach."""

_RELEASED = ("model", "serving")


class PolicyConfig(BaseModel):
    """Limits of what the policy may start by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cool_down_days: float = Field(2, ge=0)
    """Least time between two retrains."""
    weekly_retrains: int = Field(2, ge=0)
    """Retrains within any seven days; 0 never retrains."""
    minimum_new_rows: int = Field(1000, ge=0)
    """Labelled rows that must have come since the champion was trained."""
    minimum_drifted_rows: int = Field(10_000, ge=0)
    """Labelled rows that must have come since the drift began: fewer would teach what was true before it."""
    settle_days: float = Field(4, ge=0)
    """A new champion is left so long: what the gateway served is judged three days later, so that figures still tell of
    the one before it."""
    learns_from: Literal["drift", "everything"] = "drift"
    """A retrain learns from the events since the drift began, or from all there are."""
    rollback_days: float = Field(2, ge=0)
    """Model or serving drift that began this soon after a release rolls the release back."""


class PolicyAction(StrEnum):
    """What to do."""

    OK = "ok"
    ALERT = "alert"
    RETRAIN = "retrain"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True)
class PolicyState:
    """What the policy must know besides the results.

    Attributes:
        retrained_at: When retrains were started, in any order; older than a week may be left out.
        new_labelled_rows: Rows with a label since the champion was trained.
        drifted_rows: Rows with a label since the drift began; see `drift_began`.
        champion_since: When the champion began to serve; None where there is none.
        has_previous_champion: There is a model to roll back to.
        is_busy: A retrain or a canary is under way.
    """

    retrained_at: tuple[datetime, ...] = ()
    new_labelled_rows: int = 0
    drifted_rows: int = 0
    champion_since: datetime | None = None
    has_previous_champion: bool = False
    is_busy: bool = False


@dataclass(frozen=True)
class PolicyDecision:
    """What to do, and why.

    Attributes:
        action: What to do.
        reasons: One sentence a reason, the deciding one first.
    """

    action: PolicyAction
    reasons: tuple[str, ...]


def decide(
    results: Sequence[CheckResult], state: PolicyState, config: PolicyConfig, *, now: datetime
) -> PolicyDecision:
    """Decide what the results of a monitor run lead to.

    Order: a release that broke something is rolled back; broken data only alerts, since a retrain would learn the
    fault; other drift retrains where cool-down, weekly budget and new data allow it, and alerts otherwise.

    Args:
        results: Results of the run.
        state: What happened before.
        config: Limits.
        now: Time of the decision.
    """
    drifted = [result for result in results if result.status is Status.DRIFT]
    if not drifted:
        return PolicyDecision(PolicyAction.OK, (_quiet(results),))
    words = tuple(f"{figure_of(result)} drifted ({result.family})." for result in drifted)
    released = _release_reason(drifted, state, config)
    if released:
        return PolicyDecision(PolicyAction.ROLL_BACK, (released, *words))
    refusals = _refusals(drifted, state, config, now=now)
    if refusals:
        return PolicyDecision(PolicyAction.ALERT, (*refusals, *words))
    return PolicyDecision(PolicyAction.RETRAIN, ("Drift that new data can teach, and every limit allows it.", *words))


def drift_began(results: Sequence[CheckResult]) -> datetime | None:
    """Return since when the figure has drifted that moved most, of those that new data can teach; None without one."""
    drifted = [one for one in results if one.status is Status.DRIFT and _can_be_taught(one) and one.since]
    most = max(drifted, key=lambda one: abs(one.size or 0.0), default=None)
    return None if most is None else most.since


def _can_be_taught(result: CheckResult) -> bool:
    return result.family in LEARNABLE and not result.details.get(COUNTS_ROWS)


def _quiet(results: Sequence[CheckResult]) -> str:
    counts = {status: sum(result.status is status for result in results) for status in Status}
    judged = counts[Status.OK]
    return (
        f"No drift in {judged} judged figures; {counts[Status.LEARNING]} learning, "
        f"{counts[Status.INSUFFICIENT]} with too little data."
    )


def _release_reason(drifted: Sequence[CheckResult], state: PolicyState, config: PolicyConfig) -> str:
    since = state.champion_since
    if since is None or not state.has_previous_champion:
        return ""
    until = since + timedelta(days=config.rollback_days)
    for result in drifted:
        if result.family in _RELEASED and result.since is not None and since <= result.since <= until:
            began = f"{figure_of(result)} drifted from {result.since:%Y-%m-%d}"
            return f"{began}, after the release of {since:%Y-%m-%d %H:%M}."
    return ""


def _refusals(
    drifted: Sequence[CheckResult], state: PolicyState, config: PolicyConfig, *, now: datetime
) -> tuple[str, ...]:
    found = []
    if "data" in {result.family for result in drifted}:
        found.append("No retrain: the data themselves changed, and a model trained on them would learn the fault.")
    elif not any(_can_be_taught(result) for result in drifted):
        found.append("No retrain: new data teach nothing against this (serving, or the number of rows alone).")
    if state.is_busy:
        found.append("No retrain: a retrain or a canary is under way.")
    if state.champion_since is not None and now - state.champion_since < timedelta(days=config.settle_days):
        found.append(
            f"No retrain: the champion serves since {state.champion_since:%Y-%m-%d %H:%M}, less than "
            f"{config.settle_days:g} days; figures may still tell of the one before it."
        )
    week = [at for at in state.retrained_at if now - at < timedelta(days=7)]
    if len(week) >= config.weekly_retrains:
        found.append(f"No retrain: {len(week)} of {config.weekly_retrains} of this week are spent.")
    last = max(state.retrained_at, default=None)
    if last is not None and now - last < timedelta(days=config.cool_down_days):
        found.append(
            f"No retrain: the last was at {last:%Y-%m-%d %H:%M}, less than {config.cool_down_days:g} days ago."
        )
    if state.new_labelled_rows < config.minimum_new_rows:
        found.append(
            f"No retrain: {state.new_labelled_rows} labelled rows are new, {config.minimum_new_rows} are needed."
        )
    if state.drifted_rows < config.minimum_drifted_rows:
        found.append(
            f"No retrain: {state.drifted_rows} labelled rows came since the drift began, "
            f"{config.minimum_drifted_rows} are needed to learn it."
        )
    return tuple(found)
