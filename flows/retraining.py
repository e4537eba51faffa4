"""A retrain that drift asked for, run by whoever claims it: a lifecycle, its model a challenger."""

import logging

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows.clock import utc_now
from flows.collect import collect
from flows.failures import explained
from flows.lifecycle import LifecycleOutcome, improve, remembered
from flows.replay import ReplayConfig
from flows.retrains import RetrainConfig
from flows.retries import is_worth_retrying
from flows.wiring import platform
from infra.retrains import Retrain

_log = logging.getLogger(__name__)


@flow(name="retrain", description="The lifecycle because of drift; its model is a challenger.", persist_result=False)
@explained("retrain")
def retrain(retrain_id: str, config: RetrainConfig = RetrainConfig()) -> LifecycleOutcome | None:  # noqa: B008 - frozen
    """Run the lifecycle for a retrain that was asked for; one that somebody else runs or ended is left alone.

    Raises:
        Exception: The lifecycle could not end; the retrain says so.
    """
    asked = claim(retrain_id)
    if asked is None:
        _log.warning("retrain %s has begun elsewhere, or has ended", retrain_id)
        return None
    try:
        snapshot = collect(asked.learns_from)
        recipes = list(config.recipes) or remembered()
        outcome = improve(snapshot, recipes, config.traffic, config.canary, ReplayConfig(), asked.cause)
    except Exception as error:  # a mistake in the code, too, must not leave a retrain that seems to run
        platform().retrains.end(retrain_id, now=utc_now(), outcome="failed", words=str(error) or repr(error))
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
