"""Retrains that drift asked for: written down first, run by whoever claims them, their model a challenger."""

import logging
from datetime import datetime

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from flows.clock import utc_now
from flows.collect import collect
from flows.lifecycle import LifecycleOutcome, Traffic, improve, remembered
from flows.replay import ReplayConfig
from flows.retries import is_worth_retrying
from flows.wiring import Platform, platform
from infra.retrains import Retrain
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.shadow import ShadowConfig
from monitoring.policy import LEARNABLE
from recmodels.errors import EverfeedError
from recmodels.recipe import Recipe

DEPLOYMENT = "retrain/drift"
"""The deployment that runs retrains where schedules are served."""

_log = logging.getLogger(__name__)


class RetrainConfig(BaseModel):
    """What a retrain trains, and the terms of its model's rollout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[Recipe, ...] = ()
    """What is trained; the recipes of the last lifecycle when left out."""
    traffic: Traffic = Traffic.LIVE
    canary: CanaryConfig = CanaryConfig(shadow=ShadowConfig(minimum_overlap=0.0))
    """No overlap with the champion's lists is asked for: after a drift it is these that are wrong."""


@flow(name="retrain", description="The lifecycle because of drift; its model is a challenger.", persist_result=False)
def retrain(retrain_id: str, config: RetrainConfig = RetrainConfig()) -> LifecycleOutcome | None:  # noqa: B008 - frozen
    """Run the lifecycle for a retrain that was asked for; one that somebody else runs or ended is left alone.

    Raises:
        EverfeedError: The lifecycle could not end; the retrain says so.
    """
    asked = claim(retrain_id)
    if asked is None:
        _log.warning("retrain %s has begun elsewhere, or has ended", retrain_id)
        return None
    try:
        snapshot = collect(asked.learns_from)
        recipes = list(config.recipes) or remembered()
        outcome = improve(snapshot, recipes, config.traffic, config.canary, ReplayConfig(), asked.cause)
    except EverfeedError as error:
        platform().retrains.end(retrain_id, now=utc_now(), outcome="failed", words=str(error))
        raise
    conclude(asked, outcome)
    return outcome


@task(name="claim retrain", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def claim(retrain_id: str) -> Retrain | None:
    """Begin the retrain, unless somebody else did."""
    return platform().retrains.claim(retrain_id, now=utc_now())


@task(name="conclude retrain", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def conclude(asked: Retrain, outcome: LifecycleOutcome) -> None:
    """Write what came of a retrain beside its cause: in its row, on the model's version and run, and on a page."""
    home, released = platform(), outcome.release
    challenger, version = released.challenger, released.challenger_version
    if challenger is None or version is None:
        words = "no challenger: " + (" ".join(released.refused) or "no candidate is better than the champion")
        home.retrains.end(asked.retrain_id, now=utc_now(), outcome="refused", words=words)
    else:
        tags = {"retrain": asked.retrain_id, "cause": asked.cause}
        home.registry.tag(version, tags)
        home.tracker.set_tags(challenger.run_id, tags)
        words = f"version {version} ({challenger.recipe.name}) is a challenger: {released.comparison}"
        home.retrains.end(asked.retrain_id, now=utc_now(), outcome="challenger", words=words, version=version)
    create_markdown_artifact(
        key="retrain",
        markdown=(
            f"# Retrain {asked.retrain_id}\n\nBecause of {asked.cause}\n\n"
            f"Learned from {outcome.snapshot.interactions:,} interactions"
            + (f" since {asked.learns_from:%Y-%m-%d}" if asked.learns_from else "")
            + f".\n\nWhat came of it: {words}\n"
        ),
        description="Why this was trained, and what came of it",
    )


def request_retrain(reason: str, *, learns_from: datetime | None, seen: int) -> Retrain | None:
    """Write down that a retrain is wanted, once a day for the same incidents; nothing runs yet.

    Args:
        reason: The policy's words.
        learns_from: Events from this moment on are learned from; None for all.
        seen: Number of the newest retrain that the policy knew of, 0 for none.

    Returns:
        The retrain; None where another one was asked for meanwhile.
    """
    home, now = platform(), utc_now()
    return home.retrains.request(causes(home, now=now), reason=reason, learns_from=learns_from, now=now, seen=seen)


def causes(home: Platform, *, now: datetime) -> list[str]:
    """Return the open incidents that new data can end."""
    known = home.outbox.incidents(resolved_after=now)
    return [one.incident_id for one in known if one.state == "open" and one.family in LEARNABLE]


def start_retrains(config: RetrainConfig) -> None:
    """Start what was asked for and nobody works on: as a deployment's run, or here where nothing serves deployments.

    A deployment's run is made once a retrain, however often this is called.
    """
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    for asked in platform().retrains.unstarted(now=utc_now()):
        parameters = {"retrain_id": asked.retrain_id, "config": config.model_dump(mode="json")}
        key = f"{asked.retrain_id} {asked.started_at or ''}"  # one that died with its process is run once more
        try:
            run_deployment(
                DEPLOYMENT, parameters=parameters, timeout=0, as_subflow=False, idempotency_key=key, tags=["drift"]
            )
        except ObjectNotFound:
            retrain(asked.retrain_id, config, return_state=True)  # a failure is the retrain's, not the monitor's
