"""Flow runs in Prefect whose process is gone: marked Crashed, and those of a deployment started again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from flows.doctor.finding import Repair
from infra.identity import PROCESS_LABEL, has_died
from infra.processes import answers
from infra.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_WORDS: Final = "everfeed doctor: its process is gone"
_MOST: Final = 200


def repairs(settings: Settings) -> Iterator[Repair]:
    """Find them where Prefect answers; a run that names no process, or one of another machine, is left alone."""
    if not answers(settings.prefect_url, "/api/health"):
        return
    with _client(settings) as client:
        dead = _dead(client)
        resumed = {run.id for run in dead if _is_worth_resuming(client, run)}
    for run in dead:
        again = run.id in resumed
        yield Repair(
            f"flow run {run.name} ({run.id})",
            f"it is {run.state_name}, and its process {run.labels[PROCESS_LABEL]} is gone",
            "marks it Crashed and lets it run again: what it finished is found by its key"
            if again
            else "marks it Crashed; start its command again where it is still wanted, and it goes on where it stopped",
            lambda run=run, again=again: _end(settings, run, is_resumed=again),  # type: ignore[misc]
        )


def _end(settings: Settings, run: "FlowRun", *, is_resumed: bool) -> bool:
    from prefect.states import AwaitingRetry, Crashed

    with _client(settings) as client:
        if run.id not in {one.id for one in _dead(client)}:
            return False
        client.set_flow_run_state(run.id, Crashed(message=_WORDS), force=True)
        if is_resumed:
            client.set_flow_run_state(run.id, AwaitingRetry(message=f"{_WORDS}; it runs again"), force=True)
    return True


def _dead(client: "SyncPrefectClient") -> list["FlowRun"]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    going = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=going)), limit=_MOST)
    return [run for run in runs if has_died(str(run.labels.get(PROCESS_LABEL, "")))]


def _is_worth_resuming(client: "SyncPrefectClient", run: "FlowRun") -> bool:
    """Say whether a run belongs to a deployment of which no later run has done the same work."""
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    if run.deployment_id is None or run.parent_task_run_id is not None:
        return False
    done = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.RUNNING]))
    later = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id])),
        flow_run_filter=FlowRunFilter(state=done, start_time=FlowRunFilterStartTime(after_=run.start_time)),
        limit=2,
    )
    return not [one for one in later if one.id != run.id]


def _client(settings: Settings) -> "SyncPrefectClient":
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(f"{settings.prefect_url}/api")
