"""Flow runs and schedules as the control room shows them, and the shapes in which Prefect's API tells of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

_RUNNING: Final = frozenset({"RUNNING", "CANCELLING"})
_ENDED_BADLY: Final = frozenset({"FAILED", "CRASHED"})


class StateAnswer(msgspec.Struct):
    """What Prefect says of a state."""

    message: str | None = None


class RunAnswer(msgspec.Struct):
    """What Prefect says of a flow run."""

    id: str
    name: str
    flow_id: str
    state_type: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    expected_start_time: datetime | None = None
    deployment_id: str | None = None
    state: StateAnswer | None = None


class NamedAnswer(msgspec.Struct):
    """What Prefect says of anything with a name."""

    id: str
    name: str


class CronAnswer(msgspec.Struct):
    """What Prefect says of times."""

    cron: str | None = None
    timezone: str | None = None


class EntryAnswer(msgspec.Struct):
    """What Prefect says of one schedule."""

    active: bool
    schedule: CronAnswer


class DeploymentAnswer(msgspec.Struct):
    """What Prefect says of a deployment."""

    id: str
    name: str
    flow_id: str
    paused: bool = False
    description: str | None = None
    schedules: list[EntryAnswer] = []
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


def schedule_of(one: DeploymentAnswer, flow: str, next_at: datetime | None) -> ScheduleView:
    """Return a deployment as it is shown."""
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


def run_of(run: RunAnswer, started_at: datetime) -> FlowRun:
    """Return a flow run as it is shown."""
    return FlowRun(
        run_id=run.id,
        name=run.name,
        started_at=started_at,
        ended_at=run.end_time,
        is_running=run.state_type in _RUNNING,
        has_failed=run.state_type in _ENDED_BADLY,
        words=(run.state.message or "") if run.state else "",
    )
