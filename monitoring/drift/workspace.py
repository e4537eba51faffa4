"""The Evidently workspace that reports are kept in: one project, each run at the time that it is about.

It is bounded: old runs go, and of a day that is over the newest of each report stays. What an open incident links to
stays as long as the incident is open.
"""

import warnings
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from evidently.core.datasets import Dataset
    from evidently.core.report import Report, Snapshot
    from evidently.ui.workspace import Workspace

PROJECT = "everfeed drift"

_KNOWN_WARNINGS = (
    r"numpy\.core is deprecated",  # Evidently 0.7.23 imports it; goes with a newer Evidently
    r"Use of deprecated class 'DependencyKwarg'",  # and declares its own web server so
    r"Call to deprecated function 'Dependency'",
    r"invalid value encountered in divide",  # it correlates columns that are constant
)


_DRAWN_AT = "drawn_at"
_TIME_BITS = 80  # an id of version 7 begins with its time in milliseconds, above so many bits


class KeepConfig(BaseModel):
    """Which runs are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole_days: int = Field(3, ge=1)
    """Every run of as many days is kept; of an older day, the newest of each report."""
    days: int = Field(90, ge=1)
    """Days after which a run goes."""
    runs: int = Field(500, ge=1)
    """Most runs; the oldest go first. One takes about 150 KB."""


@dataclass(frozen=True)
class Label:
    """What a run is about.

    Attributes:
        as_of: Time of its newest event; runs with one time line up.
        model_version: Who served then; empty for nobody.
        drawn_at: When it is drawn, the same for all reports that are drawn together; None for the time of keeping it.
    """

    as_of: datetime
    model_version: str = ""
    drawn_at: datetime | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back the warnings that Evidently is known for."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield


def run_report(
    report: "Report",
    current: "Dataset",
    reference: "Dataset",
    *,
    name: str,
    label: Label | None,
    additional: "dict[str, Dataset] | None" = None,
) -> "Snapshot":
    """Run a report over two windows, at the time and with the tags of `label`."""
    version = label.model_version if label else ""
    return report.run(
        current,
        reference,
        additional_data=additional,
        timestamp=label.as_of if label else None,
        name=name,
        tags=[name, *([f"model version {version}"] if version else [])],
        metadata={
            "model_version": version,
            **({_DRAWN_AT: label.drawn_at.isoformat()} if label and label.drawn_at else {}),
        },
    )


def keep(snapshot: "Snapshot", workspace: Path) -> str:
    """Add a run to the workspace, which is made at the first use, and return the number of its project."""
    from evidently.ui.workspace import Workspace

    opened = Workspace.create(str(workspace))
    known = opened.search_project(PROJECT)
    project = known[0] if known else opened.create_project(PROJECT)
    opened.add_run(project.id, snapshot)
    return str(project.id)


def prune(workspace: Path, config: KeepConfig, *, now: datetime, linked: Collection[datetime] = ()) -> int:
    """Delete the runs that are kept no longer; without a workspace there are none.

    Args:
        workspace: Folder of the workspace.
        config: Which runs are kept.
        now: The present.
        linked: When people were told of an incident that is still open: what was drawn first after each stays, however
            old it is, and even where it makes more than `runs`.

    Returns:
        How many were deleted.
    """
    from evidently.ui.workspace import Workspace

    if not workspace.is_dir():
        return 0
    opened = Workspace.create(str(workspace))
    deleted = 0
    for project in opened.search_project(PROJECT):
        runs = _runs(opened, project.id)
        kept = _kept(runs, config, now=now) | _linked(runs, linked)
        for run in runs:
            if run not in kept:
                with suppress(FileNotFoundError):  # somebody deleted it in the UI meanwhile
                    opened.delete_run(project.id, run.run_id)
                    deleted += 1
    return deleted


@dataclass(frozen=True, order=True)
class _Run:
    """A report in the workspace; the order is that of their drawing."""

    drawn_at: datetime
    name: str
    run_id: UUID


def _runs(opened: "Workspace", project: UUID) -> list[_Run]:
    found = []
    for run_id in opened.list_runs(project):
        snapshot = opened.get_run(project, run_id)
        if snapshot is not None:
            drawn_at = snapshot.metadata.get(_DRAWN_AT)
            moment = _made_at(run_id) if drawn_at is None else datetime.fromisoformat(str(drawn_at))
            found.append(_Run(moment, snapshot.name or "", run_id))
    return sorted(found)


def _kept(runs: Sequence[_Run], config: KeepConfig, *, now: datetime) -> set[_Run]:
    """Return the runs that age and number let stay."""
    newest: dict[tuple[str, date], _Run] = {(run.name, run.drawn_at.date()): run for run in runs}
    young = now - timedelta(days=config.whole_days)
    old = now - timedelta(days=config.days)
    stay = [
        run
        for run in runs
        if run.drawn_at >= old and (run.drawn_at >= young or newest[run.name, run.drawn_at.date()] == run)
    ]
    return set(stay[-config.runs :])


def _linked(runs: Sequence[_Run], moments: Collection[datetime]) -> set[_Run]:
    """Return what was drawn first at or after each moment."""
    times = [run.drawn_at for run in runs]
    firsts = {times[place] for moment in moments if (place := bisect_left(times, moment)) < len(times)}
    return {run for run in runs if run.drawn_at in firsts}


def _made_at(run_id: UUID) -> datetime:
    return datetime.fromtimestamp((run_id.int >> _TIME_BITS) / 1000, UTC)
