"""Rollouts: start one, look at it, and do what the judge says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from prefect import flow, task

from flows.clock import utc_now
from flows.evidence import config_of, examine, recorded
from flows.failures import explained
from flows.reconciler import reconcile, settle
from flows.references import Release, Rolled
from flows.retries import is_worth_retrying
from flows.wiring import platform
from infra.rollout_records import ModelReference, Plan, RecordedVerdict, Rollout, RolloutState
from infra.rollouts import RolloutStore
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.verdict import Action

__all__ = ["CONTROLLER", "align_aliases", "begin", "judge_rollout", "look", "reconcile", "start_canary"]

CONTROLLER = "canary controller"


class _Signature(TypedDict):
    fencing: int
    now: datetime
    by: str
    reason: str
    verdict: RecordedVerdict


@flow(name="canary", description="Start the rollout of a challenger.", persist_result=False)
def start_canary(release: Release, config: CanaryConfig, cause: str) -> str:
    """Start a rollout and return its id; starting the same one again changes nothing."""
    return begin(release, config, cause)


@flow(name="look", description="Judge the active rollout once and act on the verdict.", persist_result=False)
@explained("look")
def look() -> Rolled | None:
    """Judge the active rollout, if there is one, do what the verdict says, and leave the traces that are missing."""
    active = platform().rollouts.active()
    rolled = judge_rollout(active.rollout_id) if active else None
    align_aliases()
    return rolled


@task(name="begin rollout", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def begin(release: Release, config: CanaryConfig, cause: str) -> str:
    """Write the rollout's first row, which every gateway reads within its polling time."""
    challenger, version = release.challenger, release.challenger_version
    assert challenger is not None, "a release without a challenger has nothing to roll out"
    assert version is not None, "a challenger has a version"
    now = utc_now()
    rollouts = platform().rollouts
    tries = sum(known.challenger.digest == challenger.digest for known in rollouts.rollouts() if not known.is_active)
    seconds = config.shadow.deadline_seconds if config.shadow else config.deadline_seconds
    plan = Plan(
        rollout_id=f"{challenger.recipe.name}-{challenger.digest[:8]}-{tries + 1}",
        challenger=ModelReference(challenger.digest, version),
        steps=config.steps,
        config=config.model_dump(mode="json"),
        cause=cause,
        is_forced=release.is_forced,
        is_shadow=config.shadow is not None,
        deadline_at=now + timedelta(seconds=seconds),
    )
    rollout = rollouts.start(plan, now=now, by=CONTROLLER)
    reconcile(platform(), reason=f"rollout {rollout.rollout_id} began ({cause})")
    return rollout.rollout_id


@task(name="judge rollout", task_run_name="judge {rollout_id}")
def judge_rollout(rollout_id: str, *, is_last: bool = False) -> Rolled:
    """Look once: read what was seen, judge, and write the verdict in the transaction that does what it says.

    Args:
        rollout_id: The rollout.
        is_last: No more evidence will come, as at the end of a replay: this look is the deadline.
    """
    home = platform()
    rollout = home.rollouts.rollout(rollout_id)
    now = utc_now()
    verdict = examine(home, rollout, now=now, is_last=is_last).verdict
    _execute(_Order(home.rollouts, rollout, config_of(rollout), recorded(verdict, now=now)), verdict.action)
    after = home.rollouts.rollout(rollout_id)
    if not after.is_active:
        settle(home)
    return Rolled(
        rollout_id=rollout_id,
        state=after.state,
        verdict=verdict.action,
        rule=verdict.rule,
        words=verdict.words,
        users_canary=verdict.users_canary,
        users_control=verdict.users_control,
        estimate=verdict.estimate,
        lower=verdict.lower,
        upper=verdict.upper,
        looks=len(home.rollouts.verdicts(rollout_id)),
    )


@task(name="align aliases", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def align_aliases() -> None:
    """Bring everything in line with the rollouts table: an abort elsewhere, a controller that was killed."""
    settle(platform())


@dataclass(frozen=True)
class _Order:
    """What the controller does to one rollout, carrying the token that it saw before it judged."""

    rollouts: RolloutStore
    rollout: Rollout
    config: CanaryConfig
    verdict: RecordedVerdict

    @property
    def deferred(self) -> tuple[Action, ...]:
        """Actions that have to wait for the next look."""
        if self.rollout.state != RolloutState.HELD:
            return ()
        return (Action.ADVANCE,) if self._held_by() == CONTROLLER else (Action.ADVANCE, Action.PROMOTE)

    def go_on(self) -> None:
        """Resume what this controller held for want of data; what a person held stays held."""
        if self.rollout.state != RolloutState.HELD or self._held_by() != CONTROLLER:
            self._note()
            return
        self.rollouts.resume(self.rollout.rollout_id, deadline_at=self.rollout.deadline_at, **self._signed())

    def advance(self) -> None:
        deadline = self.verdict.at + timedelta(seconds=self.config.deadline_seconds)
        self.rollouts.advance(self.rollout.rollout_id, deadline_at=deadline, **self._signed())

    def promote(self) -> None:
        self.rollouts.promote(self.rollout.rollout_id, **self._signed())

    def roll_back(self) -> None:
        self.rollouts.roll_back(self.rollout.rollout_id, **self._signed())

    def hold(self) -> None:
        """Freeze the share; in the shadow stage it is 0 already, and the requests that may clear it must go on."""
        if self.rollout.state == RolloutState.RUNNING:
            self.rollouts.hold(self.rollout.rollout_id, **self._signed())
        else:
            self._note()

    def _note(self) -> None:
        self.rollouts.record_verdict(self.rollout.rollout_id, self.verdict, fencing=self.rollout.fencing)

    def _held_by(self) -> str:
        return self.rollouts.transitions(self.rollout.rollout_id)[-1].by

    def _signed(self) -> _Signature:
        return {
            "fencing": self.rollout.fencing,
            "now": self.verdict.at,
            "by": CONTROLLER,
            "reason": self.verdict.words,
            "verdict": self.verdict,
        }


def _execute(order: _Order, action: Action) -> None:
    """Do what the judge says; a held rollout goes on before it advances, and a person's hold is never promoted."""
    if action in order.deferred:
        action = Action.CONTINUE
    deeds = {
        Action.CONTINUE: order.go_on,
        Action.ADVANCE: order.advance,
        Action.PROMOTE: order.promote,
        Action.ROLLBACK: order.roll_back,
        Action.HOLD: order.hold,
    }
    deeds[action]()
