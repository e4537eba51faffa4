"""MLflow runs that say RUNNING although the process that worked on them is gone."""

from collections.abc import Iterator

from flows.doctor.finding import Repair
from flows.wiring import connect
from infra.settings import Settings
from infra.tracking import TrackedRun, Tracker
from recmodels.errors import StoreError


def repairs(settings: Settings) -> Iterator[Repair]:
    """Find them by the process that each run names; a run that names none, of an older Everfeed, is left alone."""
    tracker = connect(settings).tracker
    try:
        dead = tracker.died() if tracker.exists() else []
    except StoreError:
        return  # said by the look at the stores
    for run in dead:
        yield Repair(
            f"MLflow run {run.name} ({run.run_id})",
            f"it is RUNNING, and its process {run.process} is gone",
            "marks it KILLED; the same work, started again, goes on in it",
            lambda run=run: _end(tracker, run),  # type: ignore[misc]
        )


def _end(tracker: Tracker, run: TrackedRun) -> bool:
    if run.run_id not in {one.run_id for one in tracker.died()}:
        return False
    tracker.finish(run.run_id, status="KILLED")
    return True
