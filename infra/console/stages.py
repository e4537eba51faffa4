"""The lifecycle from left to right: what each stage left behind, and how long ago."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.lake import Lake
from infra.rollouts import Champion, Rollout
from infra.settings import Settings
from recmodels.errors import EverfeedError


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: What it is called.
        state: ``"done"``, ``"active"``, ``"empty"`` or ``"failed"``.
        words: What it left behind.
        at: When it last did something.
        link: Where to see more; empty for nowhere.
    """

    name: str
    state: str
    words: str
    at: datetime | None = None
    link: str = ""


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


def trained(settings: Settings) -> Stage:
    """Return the state of training, told by the bundles."""
    folders = [path for path in _folders(settings.bundles) if not path.name.startswith(".")]
    if not folders:
        return Stage("Train", "empty", "no bundle yet")
    newest = max(folders, key=_written_at)
    return Stage(
        "Train", "done", f"{len(folders)} bundles", _written_at(newest), f"{settings.mlflow_ui_url}/#/experiments"
    )


def released(champion: Champion | None, settings: Settings) -> Stage:
    """Return who serves."""
    if champion is None:
        return Stage("Release", "empty", "no champion yet")
    link = f"{settings.mlflow_ui_url}/#/models"
    return Stage("Release", "done", f"champion is version {champion.version}", champion.since, link)


def rolled_out(rollout: Rollout | None) -> Stage:
    """Return the state of the newest rollout."""
    if rollout is None:
        return Stage("Canary", "empty", "no rollout yet")
    words = f"version {rollout.challenger.version} {rollout.state.replace('_', ' ')}"
    if not rollout.is_active:
        return Stage("Canary", "done", words, rollout.updated_at)
    return Stage("Canary", "active", f"{words}, {rollout.share:.0%} of users", rollout.updated_at)


def monitored(open_incidents: int, settings: Settings) -> Stage:
    """Return the state of monitoring."""
    reports = settings.reports.glob("drift/**/*.html")
    newest = max(reports, key=_written_at, default=None)
    link = f"/reports/{newest.relative_to(settings.reports).as_posix()}" if newest else ""
    at = _written_at(newest) if newest else None
    if open_incidents:
        return Stage("Monitor", "failed", f"{open_incidents} open incidents", at, link)
    return Stage("Monitor", "done" if newest else "empty", "no open incident", at, link)


def guarded(name: str, look: Callable[[], Stage]) -> Stage:
    """Return a stage's state, or what keeps it from being read: one unreadable store must not hide the others."""
    try:
        return look()
    except EverfeedError as error:
        return Stage(name, "failed", str(error))


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
