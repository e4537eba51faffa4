"""The lifecycle from left to right: what each stage left behind, how it stands, how long it takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from infra.console.links import Links
from infra.console.prefect_views import FlowPast, FlowRun
from infra.lake import Lake
from infra.rollouts import Champion, Rollout
from infra.settings import Settings
from recmodels.errors import EverfeedError

FLOWS = ("ingest", "collect", "validate", "train", "release", "monitor", "lifecycle", "daily", "retrain")
"""Flows whose runs are asked of Prefect."""

_WHOLE = frozenset({"lifecycle", "daily", "retrain"})

_FLOWS_OF: Mapping[str, tuple[str, ...]] = {
    "Ingest": ("ingest", "collect"),
    "Validate": ("validate",),
    "Train": ("train",),
    "Release": ("release",),
    "Monitor": ("monitor",),
}


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: What it is called.
        state: ``"done"``, ``"active"``, ``"empty"`` or ``"failed"``.
        words: What it left behind.
        at: When it last did something.
        link: Where to see more; empty for nowhere.
        seconds: How long its newest run took, or has taken so far; None where nobody knows.
        ends_at: When what runs will have ended, by what past runs took; None where nothing runs or none is known.
        num_past: Past runs that this is taken from.
        run_link: The newest run in Prefect; empty where that is not known.
        problem: Why the newest run failed; empty where it did not.
    """

    name: str
    state: str
    words: str
    at: datetime | None = None
    link: str = ""
    seconds: float | None = None
    ends_at: datetime | None = None
    num_past: int = 0
    run_link: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Running:
    """A whole lifecycle that runs: its flow, since when, until when by what past runs took, and where to see it."""

    flow: str
    since: datetime
    ends_at: datetime | None
    num_past: int
    link: str


def ingested(lake: Lake) -> Stage:
    """Return the state of the data in the lake."""
    version = lake.version("interactions")
    if version is None:
        return Stage("Ingest", "empty", "no interactions yet")
    return Stage("Ingest", "done", f"interactions, version {version}", lake.versions("interactions")[0].written_at)


def validated(settings: Settings) -> Stage:
    """Return the state of the validation, told by its Data Docs."""
    page = settings.reports / "data_docs" / "index.html"
    if not page.exists():
        return Stage("Validate", "empty", "no data docs yet")
    return Stage("Validate", "done", "data docs", _written_at(page), "/reports/data_docs/index.html")


def trained(settings: Settings, links: Links, *, experiment_id: str) -> Stage:
    """Return the state of training, told by the bundles; the experiment is that of the champion's run, if known."""
    folders = [path for path in _folders(settings.bundles) if not path.name.startswith(".")]
    if not folders:
        return Stage("Train", "empty", "no bundle yet")
    newest = max(folders, key=_written_at)
    words = f"{len(folders)} bundle{'' if len(folders) == 1 else 's'}"
    return Stage("Train", "done", words, _written_at(newest), links.experiment(experiment_id))


def released(champion: Champion | None, links: Links) -> Stage:
    """Return who serves."""
    if champion is None:
        return Stage("Release", "empty", "no champion yet")
    words = f"champion is version {champion.version}"
    return Stage("Release", "done", words, champion.since, links.version(champion.version))


def rolled_out(rollouts: Sequence[Rollout], *, now: datetime) -> Stage:
    """Return the state of the newest rollout; how long it will take is told by those that ended."""
    rollout = next((one for one in rollouts if one.is_active), next(iter(rollouts), None))
    if rollout is None:
        return Stage("Canary", "empty", "no rollout yet")
    words, link = (
        f"version {rollout.challenger.version} {rollout.state.replace('_', ' ')}",
        f"/rollouts/{rollout.rollout_id}",
    )
    if not rollout.is_active:
        seconds = (rollout.updated_at - rollout.created_at).total_seconds()
        return Stage("Canary", "done", words, rollout.updated_at, link, seconds)
    past = [(one.updated_at - one.created_at).total_seconds() for one in rollouts if not one.is_active][:12]
    return Stage(
        "Canary",
        "active",
        f"{words}, {rollout.share:.0%} of users",
        rollout.updated_at,
        link,
        seconds=(now - rollout.created_at).total_seconds(),
        ends_at=rollout.created_at + timedelta(seconds=median(past)) if past else None,
        num_past=len(past),
    )


def monitored(open_incidents: int, settings: Settings, *, judged_at: datetime | None) -> Stage:
    """Return the state of monitoring."""
    report = settings.reports / "drift" / "report.html"
    at = judged_at or (_written_at(report) if report.exists() else None)
    if open_incidents:
        words = f"{open_incidents} open incident{'' if open_incidents == 1 else 's'}"
        return Stage("Monitor", "failed", words, at, "/incidents")
    return Stage("Monitor", "done" if at else "empty", "no open incident", at, "/drift")


def guarded(name: str, look: Callable[[], Stage]) -> Stage:
    """Return a stage's state, or what keeps it from being read: one unreadable store must not hide the others."""
    try:
        return look()
    except EverfeedError as error:
        return Stage(name, "failed", str(error))


def with_run(stage: Stage, pasts: Mapping[str, FlowPast], *, links: Links, now: datetime) -> Stage:
    """Return a stage with what Prefect knows of its newest run: whether it runs or failed, how long, until when."""
    known = [pasts[flow] for flow in _FLOWS_OF.get(stage.name, ()) if flow in pasts and pasts[flow].newest]
    if not known:
        return stage
    past = max(known, key=lambda one: one.newest.started_at if one.newest else now)
    run = past.newest
    assert run is not None, "chosen above"
    link = links.flow_run(run.run_id)
    if run.is_running:
        ends_at = _ends_at(run, past)
        seconds = (now - run.started_at).total_seconds()
        running = replace(stage, state="active", at=run.started_at, seconds=seconds, run_link=link)
        return replace(running, ends_at=ends_at, num_past=past.num_runs)
    if run.has_failed:
        problem = run.words or "the run failed; Prefect has its log"
        return replace(stage, state="failed", problem=problem, seconds=_took(run), run_link=link, at=run.ended_at)
    return replace(stage, seconds=_took(run), run_link=link)


def running(pasts: Mapping[str, FlowPast], *, links: Links) -> list[Running]:
    """Return the whole lifecycles that run."""
    known = [(flow, past, past.newest) for flow, past in pasts.items() if flow in _WHOLE]
    return [
        Running(flow, run.started_at, _ends_at(run, past), past.num_runs, links.flow_run(run.run_id))
        for flow, past, run in known
        if run is not None and run.is_running
    ]


def _ends_at(run: FlowRun, past: FlowPast) -> datetime | None:
    return run.started_at + timedelta(seconds=past.seconds) if past.seconds is not None else None


def _took(run: FlowRun) -> float | None:
    return (run.ended_at - run.started_at).total_seconds() if run.ended_at else None


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
