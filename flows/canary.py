"""Rollouts: start one, look at it, and do what the judge says."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.references import Release, Rolled
from flows.retries import is_worth_retrying
from flows.wiring import Platform, platform
from infra.event_records import ArmFigures
from infra.rollout_records import ModelReference, Plan, RecordedVerdict, Rollout, RolloutState
from infra.rollouts import RolloutStore
from monitoring.canary.arms import ArmUnits, CanaryConfig, Evidence
from monitoring.canary.judge import judge
from monitoring.canary.verdict import Action, Verdict
from recmodels.errors import StoreError

_CONTROLLER = "canary controller"


class _Signature(TypedDict):
    fencing: int
    now: datetime
    by: str
    reason: str


@flow(name="canary", description="Start the rollout of a challenger.", persist_result=False)
def start_canary(release: Release, config: CanaryConfig, cause: str) -> str:
    """Start a rollout and return its id; starting the same one again changes nothing."""
    return begin(release, config, cause)


@flow(name="look", description="Judge the active rollout once and act on the verdict.", persist_result=False)
def look() -> Rolled | None:
    """Judge the active rollout, if there is one, do what the verdict says, and put MLflow's aliases right."""
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
    now = datetime.now(UTC)
    rollouts = platform().rollouts
    tries = sum(known.challenger.digest == challenger.digest for known in rollouts.rollouts() if not known.is_active)
    plan = Plan(
        rollout_id=f"{challenger.recipe.name}-{challenger.digest[:8]}-{tries + 1}",
        challenger=ModelReference(challenger.digest, version),
        steps=config.steps,
        config=config.model_dump(mode="json"),
        cause=cause,
        is_forced=release.is_forced,
        deadline_at=now + timedelta(seconds=config.deadline_seconds),
    )
    rollout = rollouts.start(plan, now=now, by=_CONTROLLER)
    reconcile(platform(), reason=f"rollout {rollout.rollout_id} began ({cause})")
    return rollout.rollout_id


@task(name="judge rollout", task_run_name="judge {rollout_id}")
def judge_rollout(rollout_id: str, *, is_last: bool = False) -> Rolled:
    """Look once: read what both arms did, judge, record the verdict, act on it.

    Args:
        rollout_id: The rollout.
        is_last: No more evidence will come, as at the end of a replay: this look is the deadline.
    """
    home = platform()
    rollout = home.rollouts.rollout(rollout_id)
    config = CanaryConfig.model_validate(dict(rollout.config))
    now = datetime.now(UTC)
    evidence = gather(home, rollout, config, now=now)
    evidence = replace(evidence, deadline_at=now) if is_last else evidence
    verdict = judge(evidence, step=rollout.step, config=config, now=now)
    home.rollouts.record_verdict(rollout_id, _record(verdict, now=now), fencing=rollout.fencing)
    _execute(_Order(home.rollouts, rollout, config, verdict.words, now), verdict.action)
    after = home.rollouts.rollout(rollout_id)
    if not after.is_active:
        _conclude(home, after, verdict)
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
    """Reconcile MLflow with what was changed since: an abort in the control room, a controller that was killed."""
    home = platform()
    if home.rollouts.champion() is not None:
        reconcile(home)


def gather(home: Platform, rollout: Rollout, config: CanaryConfig, *, now: datetime) -> Evidence:
    """Return everything known about a rollout as the judge takes it."""
    figures = home.events.arm_units(
        rollout.rollout_id,
        reward_kind=config.reward,
        matured_before=now - timedelta(seconds=config.label_window_seconds),
        cap=config.reward_cap,
        label_window_seconds=config.label_window_seconds or None,
        slow_floor_seconds=config.slow_floor_seconds,
    )
    return Evidence(
        canary=_units(figures.canary),
        control=_units(figures.control),
        assigned_canary=figures.assigned_canary,
        assigned_control=figures.assigned_control,
        newest_at=figures.newest_at,
        step_started_at=rollout.step_started_at,
        deadline_at=rollout.deadline_at or rollout.step_started_at + timedelta(seconds=config.deadline_seconds),
    )


def _units(figures: ArmFigures) -> ArmUnits:
    return ArmUnits(
        impressions=figures.impressions,
        reward=figures.reward,
        flags=figures.flags,
        requests=figures.requests,
        request_errors=figures.request_errors,
        non_finite=figures.non_finite,
        blocked=figures.blocked,
    )


def _record(verdict: Verdict, *, now: datetime) -> RecordedVerdict:
    return RecordedVerdict(
        at=now,
        step=verdict.step,
        action=verdict.action,
        rule=verdict.rule,
        words=verdict.words,
        users_canary=verdict.users_canary,
        users_control=verdict.users_control,
        estimate=verdict.estimate,
        lower=verdict.lower,
        upper=verdict.upper,
        relative=verdict.relative,
        e_values=verdict.e_values,
    )


@dataclass(frozen=True)
class _Order:
    """What the controller does to one rollout, carrying the token that it saw before it judged."""

    rollouts: RolloutStore
    rollout: Rollout
    config: CanaryConfig
    words: str
    now: datetime

    @property
    def deferred(self) -> tuple[Action, ...]:
        """Actions that have to wait for the next look."""
        if self.rollout.state != RolloutState.HELD:
            return ()
        return (Action.ADVANCE,) if self._held_by() == _CONTROLLER else (Action.ADVANCE, Action.PROMOTE)

    def go_on(self) -> None:
        """Resume what this controller held for want of data; what a person held stays held."""
        if self.rollout.state != RolloutState.HELD or self._held_by() != _CONTROLLER:
            return
        self.rollouts.resume(self.rollout.rollout_id, deadline_at=self.rollout.deadline_at, **self._signed())

    def advance(self) -> None:
        deadline = self.now + timedelta(seconds=self.config.deadline_seconds)
        self.rollouts.advance(self.rollout.rollout_id, deadline_at=deadline, **self._signed())

    def promote(self) -> None:
        self.rollouts.promote(self.rollout.rollout_id, **self._signed())

    def roll_back(self) -> None:
        self.rollouts.roll_back(self.rollout.rollout_id, **self._signed())

    def hold(self) -> None:
        if self.rollout.state != RolloutState.HELD:
            self.rollouts.hold(self.rollout.rollout_id, **self._signed())

    def _held_by(self) -> str:
        return self.rollouts.transitions(self.rollout.rollout_id)[-1].by

    def _signed(self) -> _Signature:
        return {"fencing": self.rollout.fencing, "now": self.now, "by": _CONTROLLER, "reason": self.words}


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


def _conclude(home: Platform, rollout: Rollout, verdict: Verdict) -> None:
    """Project the end of a rollout onto MLflow, and leave a page that explains it."""
    reconcile(home, reason=verdict.words)
    create_markdown_artifact(
        key="verdict",
        markdown=(
            f"# {rollout.rollout_id}: {rollout.state}\n\n{verdict.words}\n\n"
            f"| | |\n|---|---|\n| rule | {verdict.rule} |\n| users | {verdict.users_canary:,} canary, "
            f"{verdict.users_control:,} control |\n| estimate | {verdict.estimate} |\n| bounds | {verdict.lower} to "
            f"{verdict.upper} |\n| looks | {len(home.rollouts.verdicts(rollout.rollout_id))} |\n\n"
            f"[Control room]({home.settings.console_url})\n"
        ),
        description="Why the rollout ended",
    )


def reconcile(home: Platform, *, reason: str = "") -> None:
    """Rewrite MLflow's aliases from the rollouts table, which alone says who serves."""
    serving = home.rollouts.serving()
    if serving.champion is None:
        raise StoreError(
            "nobody serves yet: there is nothing to project onto the model registry. Release a model first."
        )
    challenger = serving.challenger.version if serving.challenger else None
    home.registry.reconcile(serving.champion.version, challenger, reason=reason)
