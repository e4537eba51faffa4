"""When flows run: deployments with their schedules as data, and the process that serves them.

Prefect writes schedules anew whenever a deployment is registered, and a pause with them; so what a person paused is
read first and registered as paused again.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import Flow, aserve
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron

from flows.analyze import analyze
from flows.canary import look
from flows.clock import DAILY_AT
from flows.deliver import deliver
from flows.lifecycle import daily
from flows.monitor import monitor
from flows.retraining import retrain
from flows.tune import tune

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """A flow with the times at which it runs.

    Attributes:
        flow: What runs.
        name: Name of the deployment.
        cron: Times, in UTC; None for what runs when something else asks for it.
        description: What a person reads in the UI.
        parameters: Values of the flow's parameters; a person may change them in the UI.
    """

    flow: Flow[..., Any]
    name: str
    cron: str | None
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


SCHEDULES = (
    Schedule(
        daily,
        "daily",
        f"{DAILY_AT.minute} {DAILY_AT.hour} * * *",
        "The whole lifecycle on the data that is in the lake, every night.",
    ),
    Schedule(monitor, "hourly", "15 * * * *", "Figures of the newest days against their own history."),
    Schedule(retrain, "drift", None, "The lifecycle because of drift, when the policy asks for it."),
    Schedule(look, "every-5-minutes", "*/5 * * * *", "Judge the active rollout; advance, promote, hold or roll back."),
    Schedule(analyze, "weekly", "0 6 * * 1", "What people do, like and turn to, as a report, every Monday."),
    Schedule(tune, "search", None, "A search for hyper-parameters on what is in the lake, when a person starts it."),
    Schedule(deliver, "by-hand", None, "Send alerts that are due; `everfeed up` has a sender that does so at once."),
)
_FORMER = ("deliver/every-5-minutes",)
"""Deployments of earlier versions; nothing serves them, so their runs would be late for ever."""


async def serve() -> None:
    """Register every deployment and run what becomes due, until the process is stopped."""
    await _forget_former()
    deployments = [await _deployment(schedule) for schedule in SCHEDULES]
    await aserve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=2)


async def _deployment(schedule: Schedule) -> RunnerDeployment:
    paused = await _is_paused(schedule)
    active = await _is_active(schedule)
    deployment: RunnerDeployment = await schedule.flow.ato_deployment(
        schedule.name,
        schedules=[] if schedule.cron is None else [Cron(schedule.cron, timezone="UTC", active=active)],
        paused=paused,
        parameters=dict(schedule.parameters),
        description=schedule.description,
        tags=["everfeed"],
        concurrency_limit=1,
    )
    return deployment


async def _forget_former() -> None:
    async with get_client() as client:
        for name in _FORMER:
            with suppress(ObjectNotFound):
                await client.delete_deployment((await client.read_deployment_by_name(name)).id)


async def _is_paused(schedule: Schedule) -> bool:
    async with get_client() as client:
        try:
            known = await client.read_deployment_by_name(f"{schedule.flow.name}/{schedule.name}")
        except ObjectNotFound:
            return False
        return bool(known.paused)


async def _is_active(schedule: Schedule) -> bool:
    async with get_client() as client:
        try:
            known = await client.read_deployment_by_name(f"{schedule.flow.name}/{schedule.name}")
        except ObjectNotFound:
            return True
        return all(entry.active for entry in known.schedules)


if __name__ == "__main__":
    asyncio.run(serve())
