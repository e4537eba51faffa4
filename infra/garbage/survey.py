"""Looks through a home and says of each thing whether it goes; what is not known to be garbage is not touched."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from infra.garbage.finding import Extent, Finding, extent_of
from infra.garbage.needs import Needs
from infra.lake import Lake
from infra.settings import Settings

_TRAINED: Final = "trained.json"
_CHECKPOINTS: Final = "checkpoints"
_BEST: Final = "recipe.json"
_BUNDLE_COPY: Final = "artifacts/bundle"
_DAY: Final = timedelta(days=1)
_OLD_REPORTS: Final = ("comparisons", "validation")


def find(settings: Settings, needs: Needs, *, age: timedelta, history: timedelta, now: datetime) -> list[Finding]:
    """Return everything that was looked at, in the order in which what goes is to be removed.

    What points at something comes before it, so that an interruption leaves nothing that points at nothing.

    Args:
        settings: Which home.
        needs: What is needed.
        age: Only what was not written for so long goes; a day at least.
        history: How long a version of a table can be read; a day at least.
        now: The moment.

    Raises:
        ValueError: An age is below a day, which running flows may take.
        StoreError: The lake is damaged.
    """
    if min(age, history) < _DAY:
        raise ValueError(
            f"an age of {min(age, history)} is below a day, which a running flow may take. Give 1 or more."
        )
    look = _Look(settings, needs, age=age, now=now)
    return [
        *look.trainings(),
        *look.searches(),
        *look.artifacts(),
        *look.bundles(),
        *look.covariates(),
        *look.reports(),
        *look.staging(),
        *look.logs(),
        *look.passing(),
        *look.lake(history),
    ]


class _Look:
    """One look through a home."""

    def __init__(self, settings: Settings, needs: Needs, *, age: timedelta, now: datetime) -> None:
        self._settings = settings
        self._needs = needs
        self._age = age
        self._now = now
        self._going = {digest for digest, (goes, _, _) in self._fates().items() if goes}

    def bundles(self) -> Iterator[Finding]:
        """Bundles, by who needs them."""
        for digest, (goes, reason, extent) in self._fates().items():
            yield self._finding("bundle", self._settings.bundles / digest, extent, goes=goes, reason=reason)

    def trainings(self) -> Iterator[Finding]:
        """Notes and checkpoints of trainings."""
        for folder in _folders(self._settings.runs):
            digest = _digest(folder / _TRAINED)
            extent = extent_of(folder)
            if folder.name in self._needs.training:
                yield self._finding("training", folder, extent, goes=False, reason="MLflow says that it is running")
            elif digest in self._going:
                reason = f"its bundle {digest[:12]} goes"
                yield self._finding("training", folder, extent, goes=True, reason=reason)
            elif digest:
                yield self._finding("training", folder, extent, goes=False, reason=f"made bundle {digest[:12]}")
                if (folder / _CHECKPOINTS).is_dir():
                    yield self._aged("checkpoints", folder / _CHECKPOINTS, "the training ended")
            else:
                yield self._aged("training", folder, "it did not end")

    def searches(self) -> Iterator[Finding]:
        """Checkpoints of trials, of searches that ended or were given up."""
        for folder in _folders(self._settings.searches):
            why = "the search ended" if (folder / _BEST).exists() else "the search was given up"
            for trial in _folders(folder):
                yield self._aged("trial", trial, why)

    def artifacts(self) -> Iterator[Finding]:
        """Files of runs that are archived in MLflow, or that it does not know, and copies of bundles that go."""
        for folder in _folders(self._settings.artifacts):
            run, needs = folder.name, self._needs
            if run in needs.runs:
                yield self._finding("run", folder, extent_of(folder), goes=False, reason=needs.runs[run])
            elif run in needs.archived:
                yield self._aged("run", folder, "archived in MLflow")
            elif run not in needs.known_runs and _is_run_id(run):
                yield self._aged("run", folder, "MLflow knows no such run")
            else:
                yield self._finding("run", folder, extent_of(folder), goes=False, reason="kept in MLflow")
                copy = folder / _BUNDLE_COPY
                if copy.is_dir() and _digest_of_copy(copy) in self._going:
                    yield self._finding("copy of a bundle", copy, extent_of(copy), goes=True, reason="its bundle goes")

    def covariates(self) -> Iterator[Finding]:
        """Users' rates before rollouts."""
        for path in sorted(self._settings.covariates.glob("*.parquet")):
            is_active = unquote(path.stem) in self._needs.rollouts
            reason = "its rollout is active" if is_active else "its rollout is over, and it is about people"
            yield self._finding("covariate", path, extent_of(path), goes=not is_active, reason=reason)

    def reports(self) -> Iterator[Finding]:
        """Pictures and reports that a command drew; audits of leakage and the Data Docs stay."""
        for name in _OLD_REPORTS:
            for path in sorted((self._settings.reports / name).glob("*")):
                yield self._aged("report", path, "drawn again by its command")

    def staging(self) -> Iterator[Finding]:
        """Batches on their way to the lake."""
        for folder in _folders(self._settings.root / "staging"):
            yield self._aged("batch", folder, "read again from its source where it is needed")

    def logs(self) -> Iterator[Finding]:
        """Older logs of services; the newest of each is being written."""
        for path in sorted(self._settings.logs.glob("*.log.*")):
            yield self._aged("log", path, "rotated")

    def passing(self) -> Iterator[Finding]:
        """What a killed process was just writing."""
        root = self._settings.root
        found = {path for pattern in ("*.partial", ".writing-*") for path in root.rglob(pattern)}
        found |= set(root.parent.glob(f".{root.name}.restoring-*"))
        for path in sorted(found):
            if not any(parent in found for parent in path.parents):
                yield self._aged("leftover", path, "left by a process that was killed", age=_DAY)

    def lake(self, history: timedelta) -> Iterator[Finding]:
        """Files of the lake that no version within the history needs, nor one that a needed model learned from."""
        lake = Lake(self._settings.lake_place)
        for name in lake.table_names():
            kept = self._needs.versions.get(name, frozenset())
            for file in lake.expired_files(name, history=max(history, self._age), keep_versions=kept):
                reason = f"in no version of {name} of the last {max(history, self._age).days} days, nor a needed one"
                place = file.uri if lake.place.is_remote else self._place(Path(file.uri))
                yield Finding("table file", place, file.size, file.written_at, goes=True, reason=reason)

    def _fates(self) -> dict[str, tuple[bool, str, Extent]]:
        found = {}
        for folder in _folders(self._settings.bundles):
            extent = self._since_used(folder)
            why = self._needs.bundles.get(folder.name)
            if why is not None:
                found[folder.name] = (False, why, extent)
            elif not extent.is_older(self._age, self._now):
                found[folder.name] = (False, self._young(extent), extent)
            else:
                found[folder.name] = (True, "never served, and in no registry", extent)
        return found

    def _since_used(self, bundle: Path) -> Extent:
        """Return what a bundle takes; a training that found it done has used it since it was written."""
        extent = extent_of(bundle)
        for notes in self._notes().get(bundle.name, []):
            extent = Extent(extent.size, max(extent.used_at, extent_of(notes).used_at))
        return extent

    def _notes(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for folder in _folders(self._settings.runs):
            if digest := _digest(folder / _TRAINED):
                found.setdefault(digest, []).append(folder)
        return found

    def _aged(self, kind: str, path: Path, why: str, *, age: timedelta | None = None) -> Finding:
        extent = extent_of(path)
        goes = extent.is_older(self._age if age is None else age, self._now)
        return self._finding(kind, path, extent, goes=goes, reason=why if goes else self._young(extent))

    def _young(self, extent: Extent) -> str:
        return f"written {max(0, (self._now - extent.used_at).days)} days ago"

    def _finding(self, kind: str, path: Path, extent: Extent, *, goes: bool, reason: str) -> Finding:
        return Finding(kind, self._place(path), extent.size, extent.used_at, goes, reason)

    def _place(self, path: Path) -> str:
        return os.path.relpath(path, self._settings.root)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _digest(notes: Path) -> str:
    """Return the bundle that a training's notes name; empty where it has not ended."""
    return _read(notes, lambda document: str(document["digest"]))


def _digest_of_copy(folder: Path) -> str:
    """Return the digest of a bundle's copy: that of its manifest's bytes."""
    path = folder / "manifest.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _read(path: Path, take: Callable[[dict[str, object]], str]) -> str:
    try:
        return take(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # notes that cannot be read are those of a training that did not end


def _is_run_id(name: str) -> bool:
    return len(name) == 32 and set(name) <= set("0123456789abcdef")
