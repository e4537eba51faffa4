"""When flows run: deployments with their schedules as data, and the process that serves them.

Prefect writes schedules anew whenever a deployment is registered, and a pause with them; so what a person paused is
read first and registered as paused again. One run of a deployment at a time: what changes the model waits for the run
before it, and what only looks is left out, since the next one comes soon.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.analyze import analyze
from flows.by_form import run
from flows.canary import look
from flows.clock import DAILY_AT
from flows.deliver import deliver
from flows.lifecycle import daily
from flows.monitor import monitor
from flows.retraining import retrain
from flows.services import SCHEDULES_SERVICE
from flows.tune import tune
from flows.turns import ensure_turn, free_turn
from flows.wiring import MODEL_NAME, platform
from infra.processes import answers, mark_ready
from infra.settings import Settings

_log = logging.getLogger(__name__)

_LOOKS, _LOOK_SECONDS = 600, 0.2
WAITS = ConcurrencyLimitStrategy.ENQUEUE
IS_LEFT_OUT = ConcurrencyLimitStrategy.CANCEL_NEW


@dataclass(frozen=True)
class Schedule:
    """A flow with the times at which it runs.

    Attributes:
        flow: What runs.
        name: Name of the deployment.
        cron: Times, in the time zone of the settings; None for what runs when something else asks for it.
        description: What a person reads in the UI.
        collision: What becomes of a run while another one of the deployment goes on.
        tags: What it is found by, beside the model.
        parameters: Values of the flow's parameters; a person may change them in the UI.
    """

    flow: Flow[..., Any]
    name: str
    cron: str | None
    description: str
    collision: ConcurrencyLimitStrategy = WAITS
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


SCHEDULES = (
    Schedule(
        daily,
        "daily",
        f"{DAILY_AT.minute} {DAILY_AT.hour} * * *",
        "The whole lifecycle on the data that is in the lake, every night.",
        tags=("trains",),
    ),
    Schedule(
        monitor,
        "hourly",
        "15 * * * *",
        "Figures of the newest days against their own history.",
        IS_LEFT_OUT,
        ("looks",),
    ),
    Schedule(
        retrain, "drift", None, "The lifecycle because of drift, when the policy asks for it.", tags=("trains", "drift")
    ),
    Schedule(
        look,
        "every-5-minutes",
        "*/5 * * * *",
        "Judge the active rollout; advance, promote, hold or roll back.",
        IS_LEFT_OUT,
        ("looks", "canary"),
    ),
    Schedule(
        analyze,
        "weekly",
        "0 6 * * 1",
        "What people do, like and turn to, as a report, every Monday.",
        IS_LEFT_OUT,
        ("looks",),
    ),
    Schedule(
        tune,
        "search",
        None,
        "A search for hyper-parameters on what is in the lake, when a person starts it.",
        tags=("trains",),
    ),
    Schedule(
        deliver,
        "by-hand",
        None,
        "Send alerts that are due; `everfeed up` has a sender that does so at once.",
        IS_LEFT_OUT,
        ("alerts",),
    ),
    Schedule(run, "by-form", None, "The lifecycle on data of your own: source, recipe, policy.", tags=("trains",)),
)
_AT_ONCE = 3
"""Runs: one that trains, one that waits for its turn, and one that looks."""
_FORMER = ("deliver/every-5-minutes",)
"""Deployments of earlier versions; nothing serves them, so their runs would be late for ever."""


async def serve() -> None:
    """Register every deployment and run what becomes due, until the process is stopped."""
    settings = platform().settings
    await _prefect_answers(settings)
    await _forget_former()
    async with get_client() as client:
        await ensure_turn(client, settings)
        await free_turn(client, settings)
    deployments = [await described(schedule, zone=settings.time_zone) for schedule in SCHEDULES]
    runner = Runner(pause_on_shutdown=False, limit=_AT_ONCE)
    for deployment in deployments:
        await runner.aadd_deployment(deployment)
    mark_ready(settings, SCHEDULES_SERVICE)
    await runner.start()


async def _prefect_answers(settings: Settings) -> None:
    """Wait for Prefect, which starts beside this process and takes as long; where it never answers, Prefect says so."""
    for _ in range(_LOOKS):
        if await asyncio.to_thread(answers, settings.prefect_api, "/health"):
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def described(
    schedule: Schedule,
    *,
    zone: str,
    pool: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    is_installed: bool = False,
) -> RunnerDeployment:
    """Return a deployment as Prefect takes it, paused where a person paused it.

    Args:
        schedule: What runs, and when.
        zone: Time zone of its times.
        pool: Work pool whose workers run it; None for the process that serves it.
        job_variables: What the pool starts a run with.
        is_installed: The flow is found by its module's name, as where Everfeed is installed, rather than by its file.
    """
    known = await _known(schedule)
    is_active = all(entry.active for entry in known.schedules) if known else True
    deployment: RunnerDeployment = await schedule.flow.ato_deployment(
        schedule.name,
        schedules=[] if schedule.cron is None else [Cron(schedule.cron, timezone=zone, active=is_active)],
        paused=bool(known and known.paused),
        parameters=dict(schedule.parameters),
        description=schedule.description,
        tags=["everfeed", f"model:{MODEL_NAME}", *schedule.tags],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=schedule.collision),
        work_pool_name=pool,
        job_variables=dict(job_variables or {}),
        entrypoint_type=EntrypointType.MODULE_PATH if is_installed else EntrypointType.FILE_PATH,
    )
    return deployment


async def _forget_former() -> None:
    async with get_client() as client:
        for name in _FORMER:
            with suppress(ObjectNotFound):
                await client.delete_deployment((await client.read_deployment_by_name(name)).id)


async def _known(schedule: Schedule) -> Any:
    """Return the deployment as the server has it, or None."""
    async with get_client() as client:
        try:
            return await client.read_deployment_by_name(f"{schedule.flow.name}/{schedule.name}")
        except ObjectNotFound:
            return None


if __name__ == "__main__":
    asyncio.run(serve())
