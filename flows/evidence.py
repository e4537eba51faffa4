"""Everything known about a rollout, as the judge takes it, and the judge's word on it. Nothing is decided here."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from flows.wiring import Platform
from infra.event_records import ArmFigures
from infra.rollout_covariates import align
from infra.rollout_records import RecordedVerdict, Rollout
from monitoring.canary.arms import ArmUnits, CanaryConfig, Evidence
from monitoring.canary.judge import judge
from monitoring.canary.shadow import ShadowConfig, ShadowEvidence, judge_shadow
from monitoring.canary.verdict import Verdict


@dataclass(frozen=True)
class Look:
    """What was seen, and what the judge says of it."""

    evidence: Evidence | ShadowEvidence
    verdict: Verdict


def config_of(rollout: Rollout) -> CanaryConfig:
    """Return the terms that a rollout was started with."""
    return CanaryConfig.model_validate(dict(rollout.config))


def deadline_of(rollout: Rollout, config: CanaryConfig) -> datetime:
    """Return when the stage or step must have ended."""
    seconds = config.deadline_seconds if rollout.step >= 0 else shadow_terms(config).deadline_seconds
    return rollout.deadline_at or rollout.step_started_at + timedelta(seconds=seconds)


def shadow_terms(config: CanaryConfig) -> ShadowConfig:
    """Return the terms of the shadow stage; the usual ones where a rollout came into it without any."""
    return config.shadow or ShadowConfig()


def examine(home: Platform, rollout: Rollout, *, now: datetime, is_last: bool = False) -> Look:
    """Look at a rollout and say what is to happen; nothing is recorded or done.

    Args:
        home: The stores.
        rollout: The rollout as it stands.
        now: The time of the look.
        is_last: No more evidence will come: this look is the deadline.
    """
    config = config_of(rollout)
    deadline_at = now if is_last else deadline_of(rollout, config)
    if rollout.step < 0:
        seen = ShadowEvidence(**asdict(home.shadows.figures(rollout.rollout_id)))
        terms, started_at = shadow_terms(config), rollout.step_started_at
        return Look(seen, judge_shadow(seen, config=terms, now=now, started_at=started_at, deadline_at=deadline_at))
    evidence = replace(gather(home, rollout, config, now=now), deadline_at=deadline_at)
    return Look(evidence, judge(evidence, step=rollout.step, config=config, now=now))


def gather(home: Platform, rollout: Rollout, config: CanaryConfig, *, now: datetime) -> Evidence:
    """Return what both arms did, as the judge takes it."""
    figures = home.events.arm_units(
        rollout.rollout_id,
        reward_kind=config.reward,
        matured_before=now - timedelta(seconds=config.label_window_seconds),
        cap=config.reward_cap,
        label_window_seconds=config.label_window_seconds or None,
        slow_floor_seconds=config.slow_floor_seconds,
    )
    canary, control = _units(figures.canary), _units(figures.control)
    if config.use_covariate:
        rates = home.covariates.rates(
            rollout.rollout_id, created_at=rollout.created_at, kind=config.reward, cap=config.reward_cap
        )
        canary = replace(canary, covariate=align(rates, figures.canary.user_keys))
        control = replace(control, covariate=align(rates, figures.control.user_keys))
    return Evidence(
        canary=canary,
        control=control,
        assigned_canary=figures.assigned_canary,
        assigned_control=figures.assigned_control,
        newest_at=figures.newest_at,
        step_started_at=rollout.step_started_at,
        deadline_at=deadline_of(rollout, config),
    )


def recorded(verdict: Verdict, *, now: datetime) -> RecordedVerdict:
    """Return a verdict as the store keeps it."""
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
