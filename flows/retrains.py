"""Retrains that drift asked for: what they train, written down, and started once; `flows.retraining` runs them.

Whoever only decides and starts, such as the monitor, imports this module, which does without torch.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from flows.clock import utc_now
from flows.references import Traffic
from flows.wiring import Platform, platform
from infra.retrains import Retrain
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.shadow import ShadowConfig
from monitoring.policy import LEARNABLE
from recmodels.recipe import Recipe

DEPLOYMENT = "retrain/drift"
"""The deployment that runs retrains where schedules are served."""


class RetrainConfig(BaseModel):
    """What a retrain trains, and the terms of its model's rollout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[Recipe, ...] = ()
    """What is trained; the recipes of the last lifecycle when left out."""
    traffic: Traffic = Traffic.LIVE
    canary: CanaryConfig = CanaryConfig(shadow=ShadowConfig(minimum_overlap=0.0))
    """No overlap with the champion's lists is asked for: after a drift it is these that are wrong."""


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
            from flows.retraining import retrain  # with torch, which a deployment's run brings in by itself

            retrain(asked.retrain_id, config, return_state=True)  # a failure is the retrain's, not the monitor's
