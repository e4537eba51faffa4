"""A copy of a home while everything runs, in which nothing points at what is not there.

The order makes it so. First the files that name runs, bundles and versions. Then one moment: the versions of the
lake's tables and the reading transactions of every database, opened between two looks at the lake that saw the same, so
that an event is either still in the database or already in the lake, as after a crash, and never in neither. Last what
these point at, which is written once and never changed. The manifest closes it.
"""

import importlib.metadata
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from infra.backups import manifest as manifests
from infra.backups.databases import View, schema_of, viewed
from infra.backups.lake_files import files_until, versions_of
from infra.backups.manifest import FORMAT_VERSION, KeptFile, Manifest
from infra.backups.objects import Objects, require_space
from infra.backups.survey import CHANNELS, GC_LOCK, LAKE, LEFT_OUT, SECRETS, Survey, files_under, survey
from infra.lake import Lake
from infra.locks import at_once, shared
from infra.settings import Settings
from recmodels.errors import StoreError

OnBytes = Callable[[int, int], None]
"""Is told how many bytes of how many are done."""

_IMMUTABLE: Final = ("bundles/", "artifacts/", f"{LAKE}/")
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.05
_LIBRARIES: Final = ("mlflow", "prefect", "optuna", "deltalake", "evidently")


@dataclass(frozen=True)
class Backup:
    """A backup that was made.

    Attributes:
        folder: Where it is.
        manifest: What it holds.
        written: Bytes that this backup added to the folder; what was there already takes no room again.
    """

    folder: Path
    manifest: Manifest
    written: int


def back_up(
    settings: Settings, folder: Path, *, with_secrets: bool = True, now: datetime, on_bytes: OnBytes = lambda *_: None
) -> Backup:
    """Copy a home into a folder of backups, while it is in use.

    Args:
        settings: Which home.
        folder: Made where it is missing; a second backup into it adds what is new alone.
        with_secrets: Include the secrets and the alert channels, which may hold addresses that are secrets.
        now: The moment, which names the backup.
        on_bytes: Is told how far it is.

    Raises:
        StoreError: A store is outside of the home or damaged, the disk has no room, or the lake is written without a
            pause.
        AlreadyRunningError: Another backup writes to the folder.
    """
    root, folder = settings.root, folder.expanduser().resolve()
    if folder.is_relative_to(root):
        raise StoreError(f"{folder} lies in the home {root} itself. Give a folder on another disk.")
    _make(folder)
    with (
        at_once(folder / ".lock", otherwise=f"another backup writes to {folder}. Wait until it is done."),
        shared(root / GC_LOCK),
    ):
        parts = survey(settings)
        copying = _Copying(settings, folder, with_secrets=with_secrets, on_bytes=on_bytes)
        copying.expect(parts)
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as scratch:
            made = _copy(copying, parts, Path(scratch), now=now)
        os.sync()
        manifests.write_manifest(folder, made)
    return Backup(folder, made, copying.written)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} is no folder and cannot be made into one ({error.strerror}). Choose another."
        ) from error
    for left in folder.glob(".scratch-*"):  # of a backup that was killed; a running one holds the lock
        shutil.rmtree(left, ignore_errors=True)


def _copy(copying: "_Copying", parts: Survey, scratch: Path, *, now: datetime) -> Manifest:
    """Copy every part in the order that keeps references whole."""
    settings, root = copying.settings, copying.settings.root
    for name in parts.first:
        copying.tree(name, without=parts.databases)
    with Lake(settings.lake_place).reading(), _moment(settings, parts, scratch) as (tables, views):
        for view in views:
            copying.database(view, scratch / "copy.db")
        for name, version in tables.items():
            copying.table(name, version)
    for name in parts.last:
        copying.tree(name, without=parts.databases)
    left_out = {name: why for name, why in LEFT_OUT.items() if (root / name).exists()}
    if not copying.with_secrets:
        left_out |= {SECRETS: "--without-secrets", CHANNELS: "--without-secrets"}
    return Manifest(
        format_version=FORMAT_VERSION,
        name=manifests.name_of(now),
        made_at=now,
        everfeed=_version("everfeed"),
        libraries={name: _version(name) for name in _LIBRARIES},
        schema=copying.schema,
        home=str(root),
        tables=tables,
        has_secrets=copying.with_secrets,
        left_out=left_out,
        files=sorted(copying.kept.values(), key=lambda file: file.path),
    )


@contextmanager
def _moment(settings: Settings, parts: Survey, scratch: Path) -> Iterator[tuple[dict[str, int], list[View]]]:
    """Hold one moment of the lake and every database: nothing was committed to the lake while the views were opened."""
    lake = Path(settings.lake)
    for _ in range(_ATTEMPTS):
        before = versions_of(lake)
        with viewed([settings.root / name for name in parts.databases], scratch=scratch) as views:
            if versions_of(lake) == before:
                yield before, views
                return
        time.sleep(_PAUSE_SECONDS)
    raise StoreError(
        f"the lake {lake} was written {_ATTEMPTS} times in a row while its moment was sought. Run the backup again when"
        " fewer flows write to it."
    )


class _Copying:
    """One backup on its way."""

    def __init__(self, settings: Settings, folder: Path, *, with_secrets: bool, on_bytes: OnBytes) -> None:
        self.settings = settings
        self.with_secrets = with_secrets
        self.kept: dict[str, KeptFile] = {}
        self.schema = ""
        self.written = 0
        self._objects = Objects(folder)
        self._objects.sweep()
        self._known = _known(folder)
        self._folder = folder
        self._on_bytes = on_bytes
        self._done, self._total = 0, 0

    def expect(self, parts: Survey) -> None:
        """Count what there is to do, and refuse it where the disk has no room."""
        root, databases = self.settings.root, set(parts.databases)
        needed = 0
        for name in (*parts.first, *parts.last, LAKE):
            for path in files_under(root, name) if (root / name).exists() else ():
                relative = path.relative_to(root).as_posix()
                with suppress(FileNotFoundError):  # what is gone by now needs no room
                    size = path.stat().st_size
                    self._total += 0 if relative in databases else size
                    needed += 0 if relative in databases or self._unchanged(relative, path) else size
        sizes = [(root / name).stat().st_size for name in databases]
        self._total += sum(sizes)
        require_space(self._folder, needed + sum(sizes) + max(sizes, default=0), what="the backup")

    def tree(self, name: str, *, without: tuple[str, ...]) -> None:
        """Copy a file or folder as it is; files that go meanwhile, such as an older checkpoint, are looked at again."""
        root = self.settings.root
        if not self.with_secrets and name in (SECRETS, CHANNELS):
            return
        for _ in range(_ATTEMPTS):
            paths = [path for path in files_under(root, name) if path.relative_to(root).as_posix() not in without]
            try:
                found = [self._file(path) for path in paths]
            except FileNotFoundError:
                continue
            self.kept |= {file.path: file for file in found}
            return
        raise StoreError(f"files in {root / name} went while they were copied, again and again. Try again later.")

    def database(self, view: View, scratch: Path) -> None:
        """Copy a database as its view shows it."""
        relative = view.path.relative_to(self.settings.root).as_posix()
        scratch.unlink(missing_ok=True)
        copy = view.copy(scratch, on_bytes=self._count)
        if relative == "everfeed.db":
            self.schema = schema_of(copy)
        status = view.path.stat()
        sha256, size = self._add(copy, counted=False)
        self.kept[relative] = KeptFile(relative, size, sha256, status.st_mode & 0o777, status.st_mtime_ns)

    def table(self, name: str, version: int) -> None:
        """Copy the files of a table's versions up to one.

        Raises:
            StoreError: The newest of them lacks a file.
        """
        lake = Path(self.settings.lake)
        files = files_until(lake, name, version)
        lacking = set(Lake(str(lake)).file_uris(name, version)) - {str(path) for path in files}
        if lacking:
            raise StoreError(
                f"table {name} at version {version} lacks {len(lacking)} of its files, such as {min(lacking)}. Restore"
                " the table from an earlier backup, or move its folder away and ingest again."
            )
        for path in files:
            kept = self._file(path)
            self.kept[kept.path] = kept

    def _file(self, path: Path) -> KeptFile:
        relative = path.relative_to(self.settings.root).as_posix()
        status = path.stat()
        known = self._unchanged(relative, path)
        if known is not None:
            self._count(status.st_size)
            sha256, size = known.sha256, known.size
        else:
            sha256, size = self._add(path, counted=True)
        kept = KeptFile(relative, size, sha256, status.st_mode & 0o777, status.st_mtime_ns)
        self._known[relative] = kept
        return kept

    def _unchanged(self, relative: str, path: Path) -> KeptFile | None:
        """Return what is known of a file that is written once, if it is the one that was copied before."""
        known = self._known.get(relative)
        if known is None or not relative.startswith(_IMMUTABLE) or not self._objects.has(known.sha256):
            return None
        status = path.stat()
        return known if (known.size, known.modified_ns) == (status.st_size, status.st_mtime_ns) else None

    def _add(self, path: Path, *, counted: bool) -> tuple[str, int]:
        content = self._objects.add(path, on_bytes=self._count if counted else lambda _: None)
        self.written += content.size if content.is_new else 0
        return content.sha256, content.size

    def _count(self, size: int) -> None:
        self._done += size
        self._total = max(self._total, self._done)
        self._on_bytes(self._done, self._total)


def _known(folder: Path) -> dict[str, KeptFile]:
    """Return the files of the newest backup that can be read; a damaged one is no reason not to make a new one."""
    for name in reversed(manifests.names(folder)):
        with suppress(StoreError):
            return {file.path: file for file in manifests.read_manifest(folder, name).files}
    return {}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
