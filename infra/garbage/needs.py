"""Who needs what: the bundles, runs, rollouts and versions that something still points at, each with why."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.model_registry import ModelRegistry
from infra.rollouts import RolloutStore
from infra.tracking import Tracker

_MANIFEST: Final = "manifest.json"
_DATA: Final = re.compile(r"/(?P<table>\w+)@(?P<version>\d+)$")
_KEY: Final = "model:"


@dataclass(frozen=True)
class Needs:
    """What is needed.

    Attributes:
        bundles: Why each needed bundle is, by its digest.
        runs: Why each MLflow run is needed, by its id.
        known_runs: Every run that MLflow knows, archived ones too.
        archived: Runs that somebody deleted in MLflow, which keeps their files.
        training: Keys of the trainings that MLflow says are running.
        rollouts: Rollouts that can still change.
        versions: Versions of the lake's tables that needed models learned from.
    """

    bundles: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, str] = field(default_factory=dict)
    known_runs: frozenset[str] = frozenset()
    archived: frozenset[str] = frozenset()
    training: frozenset[str] = frozenset()
    rollouts: frozenset[str] = frozenset()
    versions: Mapping[str, frozenset[int]] = field(default_factory=dict)


def read_needs(bundles: Path, *, rollouts: RolloutStore, registry: ModelRegistry, tracker: Tracker) -> Needs:
    """Read from every store what it points at.

    Whoever served stays for audits: what people were shown, and who was champion when, must have a model to ask.

    Args:
        bundles: Folder of the bundles.
        rollouts: Who serves and served.
        registry: Which bundles have a version.
        tracker: Runs.

    Raises:
        StoreError: A store cannot be read. Nothing is garbage then.
    """
    why: dict[str, str] = {}
    runs: dict[str, str] = {}
    for one in registry.versions():
        why.setdefault(one.digest, f"version {one.version} of the registry")
        if one.run_id:
            runs[one.run_id] = f"of version {one.version} of the registry"
    for rollout in rollouts.rollouts():
        state = "which is active" if rollout.is_active else "for audits"
        why[rollout.champion.digest] = f"champion of rollout {rollout.rollout_id}, for audits"
        why[rollout.challenger.digest] = f"challenger of rollout {rollout.rollout_id}, {state}"
    for champion in rollouts.history():
        why[champion.digest] = f"served from {champion.since:%Y-%m-%d}, for audits"
    if serving := rollouts.champion():
        why[serving.digest] = "is the champion"
    _add_parents(bundles, why)
    kept = tracker.kept()
    for run in kept:
        if run.tags.get("bundle") in why:
            digest = run.tags["bundle"]
            runs.setdefault(run.run_id, f"trained bundle {digest[:12]}: {why[digest]}")
        if run.status == "RUNNING":
            runs[run.run_id] = "is running"
            why.setdefault(run.tags.get("bundle", ""), f"of run {run.run_id}, which is running")
    why.pop("", None)
    archived = tracker.archived()
    return Needs(
        bundles=why,
        runs=runs,
        known_runs=frozenset(run.run_id for run in (*kept, *archived)),
        archived=frozenset(run.run_id for run in archived),
        training=frozenset(run.key.removeprefix(_KEY) for run in kept if run.status == "RUNNING"),
        rollouts=frozenset(rollout.rollout_id for rollout in rollouts.rollouts() if rollout.is_active),
        versions=_versions(tracker, runs),
    )


def _add_parents(bundles: Path, why: dict[str, str]) -> None:
    """Add the bundles that needed ones went on from: an audit asks from when on events were new to a model."""
    left = list(why)
    while left:
        digest = left.pop()
        path = bundles / digest / _MANIFEST
        report = json.loads(path.read_text()).get("warm_start") if path.is_file() else None
        parent = report["parent"] if report else ""
        if parent and parent not in why:
            why[parent] = f"bundle {digest[:12]} went on from it"
            left.append(parent)


def _versions(tracker: Tracker, runs: Mapping[str, str]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for run_id in runs:
        for source in tracker.sources(run_id):
            if match := _DATA.search(source):
                found.setdefault(match["table"], set()).add(int(match["version"]))
    return {table: frozenset(numbers) for table, numbers in found.items()}
