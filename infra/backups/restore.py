"""A home out of a backup: every content verified first, laid out beside the home, and put in place by a rename."""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

from infra.backups.databases import damage_of, is_database
from infra.backups.lake_files import files_until, versions_of
from infra.backups.manifest import KeptFile, Manifest, read_manifest
from infra.backups.objects import Objects, require_space
from infra.backups.relocation import relocate
from infra.backups.survey import refuse_elsewhere
from infra.database import known_versions, open_database
from infra.processes import is_up
from infra.settings import Settings
from recmodels.errors import AlreadyRunningError, StoreError

OnBytes = Callable[[int, int], None]

_DATABASE: Final = "everfeed.db"
_TOMBSTONES: Final = "erasures"
_SHOWN: Final = 5


@dataclass(frozen=True)
class Restored:
    """A home that was restored.

    Attributes:
        manifest: What it was restored from.
        relocated: Values that named the old home's path and name the new one's, by file.
        migrated_from: Schema version of the backup where it was older than this Everfeed's; empty otherwise.
        aside: Where the earlier content of the home is; None where it had none.
        erasures: Tombstones of people erased since the backup, carried over from the earlier content of the home.
    """

    manifest: Manifest
    relocated: dict[str, int]
    migrated_from: str
    aside: Path | None
    erasures: int


def check(folder: Path, *, at: str = "", on_bytes: OnBytes = lambda *_: None) -> Manifest:
    """Verify every file of a backup against its digest, and return the manifest; nothing is written.

    Raises:
        StoreError: There is no such backup, or it is damaged.
    """
    folder = folder.expanduser().resolve()
    manifest = read_manifest(folder, at)
    _require_inside(manifest)
    contents = sorted({(file.sha256, file.size) for file in manifest.files})
    total, done = sum(size for _, size in contents), 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        on_bytes(done, total)

    wrong = Objects(folder).verify(contents, on_bytes=count)
    if wrong:
        raise StoreError(
            f"backup {manifest.name} is damaged, and nothing was restored: {'; '.join(wrong[:_SHOWN])}"
            f"{f'; and {len(wrong) - _SHOWN} more' if len(wrong) > _SHOWN else ''}. Take another with --at, or another"
            " copy of the folder."
        )
    return manifest


def restore(
    settings: Settings,
    folder: Path,
    *,
    at: str = "",
    is_forced: bool = False,
    now: datetime,
    on_bytes: OnBytes = lambda *_: None,
) -> Restored:
    """Restore a home from a backup; the home appears whole, or not at all.

    Args:
        settings: Which home; what it holds is moved aside, not deleted.
        folder: Where `everfeed backup` wrote.
        at: Which backup, or how its name begins; empty for the newest.
        is_forced: Move aside what the home holds, instead of refusing.
        now: The moment, which names what is moved aside.
        on_bytes: Is told how far it is: files are read twice, to verify them and to copy them.

    Raises:
        StoreError: The backup is damaged, interrupted or of a newer Everfeed, the home is not empty, the disk has no
            room, or a store is configured outside of the home.
        AlreadyRunningError: A stack is up over the home.
    """
    root = settings.root
    refuse_elsewhere(settings)
    _refuse_in_use(settings, is_forced=is_forced)
    folder = folder.expanduser().resolve()
    manifest = read_manifest(folder, at)
    _refuse_newer(manifest)
    root.parent.mkdir(parents=True, exist_ok=True)
    require_space(root.parent, manifest.size, what=f"the home of backup {manifest.name}")
    check(folder, at=manifest.name, on_bytes=lambda done, total: on_bytes(done, total + manifest.size))
    staged = root.with_name(f".{root.name}.restoring-{secrets.token_hex(4)}")
    try:
        read = sum({file.sha256: file.size for file in manifest.files}.values())
        _lay_out(manifest, folder, staged, on_bytes=lambda done: on_bytes(read + done, read + manifest.size))
        relocated = relocate(staged, old=manifest.home, new=str(root), databases=_databases(staged, manifest))
        migrated_from = _migrate(staged, manifest)
        _verify(staged, manifest)
        erased = _carry_tombstones(root / _DATABASE, staged / _DATABASE)
        _refuse_in_use(settings, is_forced=is_forced)
        aside = _put_in_place(staged, root, now=now)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Restored(manifest, relocated, migrated_from, aside, erased)


def _refuse_in_use(settings: Settings, *, is_forced: bool) -> None:
    root = settings.root
    if is_up(settings):
        raise AlreadyRunningError(f"a stack is up over {root}. Stop it with `everfeed down` before a restore.")
    if root.exists() and any(root.iterdir()) and not is_forced:
        raise StoreError(
            f"the home {root} is not empty, and a restore replaces all of it. Choose an empty one with EVERFEED_HOME,"
            " or give --force, which moves what is there to a folder beside it."
        )


def _refuse_newer(manifest: Manifest) -> None:
    newest = known_versions()[-1]
    if manifest.schema > newest:
        raise StoreError(
            f"backup {manifest.name} has schema version {manifest.schema!r}, made by Everfeed {manifest.everfeed}; this"
            f" one knows versions up to {newest!r}. Install that Everfeed, or a newer one."
        )


def _require_inside(manifest: Manifest) -> None:
    """Refuse a manifest whose files would be written outside of the home."""
    for file in manifest.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or len(file.sha256) != 64:
            raise StoreError(
                f"backup {manifest.name} names the file {file.path!r}, which is none of a home. Nothing was"
                " restored; take a backup from a source that you trust."
            )


def _lay_out(manifest: Manifest, folder: Path, staged: Path, *, on_bytes: Callable[[int], None]) -> None:
    objects, done = Objects(folder), 0
    staged.mkdir(mode=0o700)
    try:
        for file in manifest.files:
            target = staged / file.path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if file.path.startswith("secrets/") else 0o777)
            shutil.copyfile(objects.path(file.sha256), target)
            _dress(target, file)
            done += file.size
            on_bytes(done)
    except OSError as error:
        raise StoreError(
            f"the home cannot be written beside {staged.parent} ({error.strerror}). Nothing was put in place; free"
            " space or fix the permissions, then restore again."
        ) from error


def _dress(target: Path, file: KeptFile) -> None:
    target.chmod(file.mode)
    os.utime(target, ns=(file.modified_ns, file.modified_ns))


def _databases(staged: Path, manifest: Manifest) -> tuple[str, ...]:
    return tuple(file.path for file in manifest.files if is_database(staged / file.path))


def _migrate(staged: Path, manifest: Manifest) -> str:
    """Bring Everfeed's own tables to this Everfeed's schema; return from which, or nothing where they had it."""
    if not (staged / _DATABASE).exists():
        return ""
    open_database(f"sqlite:///{staged / _DATABASE}").close()
    return manifest.schema if manifest.schema != known_versions()[-1] else ""


def _verify(staged: Path, manifest: Manifest) -> None:
    """Look once more at what was laid out: databases whole, tables at their versions with their files."""
    for name in _databases(staged, manifest):
        if words := damage_of(staged / name):
            raise StoreError(f"{name} of backup {manifest.name} is damaged ({words}). Take another backup with --at.")
    lake = staged / "lake"
    found = versions_of(lake)
    if found != manifest.tables:
        raise StoreError(
            f"the lake of backup {manifest.name} has versions {found}, not {manifest.tables}. Take another."
        )
    for name, version in manifest.tables.items():
        files_until(lake, name, version)


def _carry_tombstones(earlier: Path, restored: Path) -> int:
    """Add the tombstones of the home's earlier content to the restored tables; return how many were new to them.

    A backup shows its own moment, so it brings back who was erased since. The tombstones name nobody; they keep new
    rows about these people out, and tell for whom `everfeed forget` is to run again.
    """
    if not (earlier.exists() and restored.exists()):
        return 0
    try:
        with closing(sqlite3.connect(earlier)) as connection:
            if not _has_tombstones(connection):
                return 0
            rows = connection.execute(f"SELECT tombstone, asked_at, receipt FROM {_TOMBSTONES} ORDER BY id").fetchall()  # noqa: S608 - our own name
    except sqlite3.DatabaseError:
        return 0  # what is moved aside may be the damaged database that is being replaced
    with closing(sqlite3.connect(restored)) as connection, connection:
        if not rows or not _has_tombstones(connection):
            return 0
        statement = f"INSERT INTO {_TOMBSTONES} (tombstone, asked_at, receipt) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
        return connection.executemany(statement, rows).rowcount


def _has_tombstones(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (_TOMBSTONES,)).fetchone() is not None


def _put_in_place(staged: Path, root: Path, *, now: datetime) -> Path | None:
    aside = None
    os.sync()
    try:
        if root.exists() and any(root.iterdir()):
            aside = root.with_name(f"{root.name}.before-{now:%Y%m%dT%H%M%S}")
            root.rename(aside)
        staged.rename(root)  # over an empty folder, or where none is
    except OSError as error:
        if aside is not None and not root.exists():
            aside.rename(root)
        raise StoreError(
            f"the restored home cannot be put at {root} ({error.strerror}). Where it is the root of a disk, choose a"
            " folder in it with EVERFEED_HOME; where something wrote to it meanwhile, stop that and restore again."
        ) from error
    return aside
