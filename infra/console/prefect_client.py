"""What the control room asks of Prefect's API: what runs and ran, which schedules there are; and what it starts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, TypeVar

import httpx
import msgspec

from infra.console.calls import open_client
from recmodels.errors import StoreError

_TIMEOUT_SECONDS = 5.0
_PAST_RUNS = 12
"""Ended runs of a flow from which its usual duration is taken."""
_RUNNING = frozenset({"RUNNING", "CANCELLING"})
_ENDED_BADLY = frozenset({"FAILED", "CRASHED"})
_STARTED = ("RUNNING", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")

T = TypeVar("T")


class _State(msgspec.Struct):
    message: str | None = None


class _Run(msgspec.Struct):
    id: str
    name: str
    flow_id: str
    state_type: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    expected_start_time: datetime | None = None
    deployment_id: str | None = None
    state: _State | None = None


class _Named(msgspec.Struct):
    id: str
    name: str


class _Cron(msgspec.Struct):
    cron: str | None = None
    timezone: str | None = None


class _Entry(msgspec.Struct):
    active: bool
    schedule: _Cron


class _Deployment(msgspec.Struct):
    id: str
    name: str
    flow_id: str
    paused: bool = False
    description: str | None = None
    schedules: list[_Entry] = []
    status: str | None = None


@dataclass(frozen=True)
class FlowRun:
    """One run of a flow.

    Attributes:
        run_id: Its id in Prefect.
        name: The name that Prefect gave it.
        started_at: When it began.
        ended_at: When it ended; None while it runs.
        is_running: It runs.
        has_failed: It failed, or its process died.
        words: What its state says.
    """

    run_id: str
    name: str
    started_at: datetime
    ended_at: datetime | None
    is_running: bool
    has_failed: bool
    words: str


@dataclass(frozen=True)
class FlowPast:
    """How the newest run of a flow stands, and how long its runs took.

    Attributes:
        newest: The run that began last; None before the first.
        seconds: Median of the completed runs that began last; None without one.
        num_runs: How many these were.
    """

    newest: FlowRun | None
    seconds: float | None
    num_runs: int


@dataclass(frozen=True)
class ScheduleView:
    """One deployment.

    Attributes:
        name: Flow and deployment, as ``daily/daily``.
        deployment_id: Its id in Prefect.
        description: What it does.
        times: When it runs, as cron with its time zone; empty for what runs when it is asked for.
        is_paused: A person paused it.
        is_served: A process takes its runs.
        next_at: When it runs next; None for never.
    """

    name: str
    deployment_id: str
    description: str
    times: str
    is_paused: bool
    is_served: bool
    next_at: datetime | None


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
            self._post("/deployments/filter", wanted, list[_Deployment]),
            self._post("/flows/filter", wanted, list[_Named]),
            self._post("/flow_runs/filter", {**wanted, **_COMING}, list[_Run]),
        )
        names = {flow.id: flow.name for flow in flows}
        following: dict[str, datetime] = {}
        for run in coming:
            if run.deployment_id and run.expected_start_time:
                following.setdefault(run.deployment_id, run.expected_start_time)
        views = [_view(one, names.get(one.flow_id, "?"), following.get(one.id)) for one in deployments]
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
        return (await self._post(path, body, _Named)).id

    async def _past(self, flow: str) -> FlowPast:
        started = {"flow_runs": {"state": {"type": {"any_": list(_STARTED)}}}}
        body = {"flows": {"name": {"any_": [flow]}}, **started, "sort": "START_TIME_DESC", "limit": _PAST_RUNS}
        runs = await self._post("/flow_runs/filter", body, list[_Run])
        seconds = [
            (run.end_time - run.start_time).total_seconds()
            for run in runs
            if run.state_type == "COMPLETED" and run.start_time and run.end_time
        ]
        newest = next((_flow_run(run, run.start_time) for run in runs if run.start_time), None)
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


def _view(one: _Deployment, flow: str, next_at: datetime | None) -> ScheduleView:
    entries = [entry for entry in one.schedules if entry.schedule.cron]
    times = "; ".join(f"{entry.schedule.cron} {entry.schedule.timezone or 'UTC'}" for entry in entries)
    return ScheduleView(
        name=f"{flow}/{one.name}",
        deployment_id=one.id,
        description=one.description or "",
        times=times,
        is_paused=one.paused or (bool(entries) and not any(entry.active for entry in entries)),
        is_served=one.status == "READY",
        next_at=next_at,
    )


def _flow_run(run: _Run, started_at: datetime) -> FlowRun:
    return FlowRun(
        run_id=run.id,
        name=run.name,
        started_at=started_at,
        ended_at=run.end_time,
        is_running=run.state_type in _RUNNING,
        has_failed=run.state_type in _ENDED_BADLY,
        words=(run.state.message or "") if run.state else "",
    )
