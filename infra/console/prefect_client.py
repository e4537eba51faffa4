"""What the control room asks of Prefect's API: what runs and ran, which schedules there are; and what it starts."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, TypeVar

import httpx
import msgspec

from infra.console.calls import open_client
from infra.console.prefect_views import (
    DeploymentAnswer,
    FlowPast,
    NamedAnswer,
    RunAnswer,
    ScheduleView,
    run_of,
    schedule_of,
)
from recmodels.errors import StoreError

_TIMEOUT_SECONDS = 5.0
_PAST_RUNS = 12
"""Ended runs of a flow from which its usual duration is taken."""
_STARTED = ("RUNNING", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")

T = TypeVar("T")


class PrefectClient:
    """A client of Prefect's HTTP API.

    Args:
        url: Address of Prefect.
        tag: Tag of the deployments that are Everfeed's.
    """

    def __init__(self, url: str, *, tag: str = "everfeed") -> None:
        self._url = url
        self._tag = tag
        self._client = open_client(f"{url}/api", timeout_seconds=_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def pasts(self, flows: Sequence[str]) -> dict[str, FlowPast]:
        """Return how the newest run of each flow stands.

        Raises:
            StoreError: Prefect does not answer.
        """
        found = await asyncio.gather(*(self._past(flow) for flow in flows))
        return dict(zip(flows, found, strict=True))

    async def schedules(self) -> list[ScheduleView]:
        """Return Everfeed's deployments, those with times first, by name.

        Raises:
            StoreError: Prefect does not answer.
        """
        wanted = {"deployments": {"tags": {"all_": [self._tag]}}}
        deployments, flows, coming = await asyncio.gather(
            self._post("/deployments/filter", wanted, list[DeploymentAnswer]),
            self._post("/flows/filter", wanted, list[NamedAnswer]),
            self._post("/flow_runs/filter", {**wanted, **_COMING}, list[RunAnswer]),
        )
        names = {flow.id: flow.name for flow in flows}
        following: dict[str, datetime] = {}
        for run in coming:
            if run.deployment_id and run.expected_start_time:
                following.setdefault(run.deployment_id, run.expected_start_time)
        views = [schedule_of(one, names.get(one.flow_id, "?"), following.get(one.id)) for one in deployments]
        return sorted(views, key=lambda view: (not view.times, view.name))

    async def set_paused(self, name: str, *, is_paused: bool) -> ScheduleView:
        """Pause or resume a deployment's schedule; return it as it was before.

        Raises:
            StoreError: Prefect does not answer, or there is no such deployment.
        """
        before = await self.schedule(name)
        action = "pause_deployment" if is_paused else "resume_deployment"
        await self._ask("POST", f"/deployments/{before.deployment_id}/{action}")
        return before

    async def schedule(self, name: str) -> ScheduleView:
        """Return one deployment of Everfeed's by flow and name.

        Raises:
            StoreError: Prefect does not answer, or there is no such deployment.
        """
        found = await self.schedules()
        for one in found:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in found) or "none; `everfeed up` registers them"
        raise StoreError(f"there is no schedule {name!r}. Known: {known}.")

    async def start(self, name: str, parameters: Mapping[str, Any], *, key: str, tag: str) -> str:
        """Have a deployment run once, now, and return the run's id; the same key starts one run only.

        Raises:
            StoreError: Prefect does not answer, or there is no such deployment.
        """
        deployment = await self.schedule(name)
        body = {
            "parameters": dict(parameters),
            "idempotency_key": key,
            "tags": [tag],
            "state": {"type": "SCHEDULED"},
        }
        path = f"/deployments/{deployment.deployment_id}/create_flow_run"
        return (await self._post(path, body, NamedAnswer)).id

    async def _past(self, flow: str) -> FlowPast:
        started = {"flow_runs": {"state": {"type": {"any_": list(_STARTED)}}}}
        body = {"flows": {"name": {"any_": [flow]}}, **started, "sort": "START_TIME_DESC", "limit": _PAST_RUNS}
        runs = await self._post("/flow_runs/filter", body, list[RunAnswer])
        seconds = [
            (run.end_time - run.start_time).total_seconds()
            for run in runs
            if run.state_type == "COMPLETED" and run.start_time and run.end_time
        ]
        newest = next((run_of(run, run.start_time) for run in runs if run.start_time), None)
        return FlowPast(newest, median(seconds) if seconds else None, len(seconds))

    async def _post(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        content = await self._ask("POST", path, body)
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"Prefect at {self._url} answered {path} in a form that is not known ({error}). Its version may be"
                " another one than Everfeed was made for: see infra/constraints.txt."
            ) from error

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        try:
            response = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise StoreError(
                f"Prefect at {self._url} does not answer ({type(error).__name__}). What runs, and when, is not known"
                " meanwhile. Start it with `everfeed up`, or see logs/prefect.log in the home."
            ) from error
        if response.is_error:
            raise StoreError(
                f"Prefect at {self._url} answered {path} with status {response.status_code}. See logs/prefect.log."
            )
        return response.content


_COMING: Mapping[str, Any] = {
    "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    "sort": "EXPECTED_START_TIME_ASC",
    "limit": 100,
}
