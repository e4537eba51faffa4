"""SQLite databases of one moment: reading transactions that are opened together, and copied from while others write."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recmodels.errors import StoreError

_MAGIC: Final = b"SQLite format 3\x00"
_PAGES: Final = 500
_BUSY_SECONDS: Final = 30.0


@dataclass(frozen=True)
class View:
    """A database as it was at one moment.

    Attributes:
        path: The database.
        size: Its bytes.
        connection: Holds the reading transaction; None where it was copied at once.
        copied_to: The copy; None where it is still to be made.
    """

    path: Path
    size: int
    connection: sqlite3.Connection | None = None
    copied_to: Path | None = None

    def copy(self, target: Path, *, on_bytes: Callable[[int], None]) -> Path:
        """Copy what the transaction sees into a new file, and return where the copy is.

        Raises:
            StoreError: The database is damaged, or the copy cannot be written.
        """
        if self.copied_to is not None:
            on_bytes(self.size)
            return self.copied_to
        assert self.connection is not None
        _copy(self.connection, target, path=self.path, on_bytes=on_bytes, pages=_PAGES)
        return target


def is_database(path: Path) -> bool:
    """Say whether a file is an SQLite database, by how it begins."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


@contextmanager
def viewed(paths: Sequence[Path], *, scratch: Path) -> Iterator[list[View]]:
    """Look at databases together, in the order given; each view stays as it is while the `with` block lasts.

    Where a database has a write-ahead log, its writers go on meanwhile. One without (MLflow's) would make them wait,
    so it is copied to `scratch` here and now.

    Raises:
        StoreError: A database is damaged, or stayed locked.
    """
    with ExitStack() as open_until_the_end:
        views = []
        for number, path in enumerate(paths):
            connection = open_until_the_end.enter_context(closing(_connect(path)))
            size = path.stat().st_size
            with _explained(path):
                if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                    connection.execute("BEGIN")
                    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the view begins here
                    views.append(View(path, size, connection))
                else:
                    target = scratch / f"{number}.db"
                    target.unlink(missing_ok=True)
                    _copy(connection, target, path=path, on_bytes=lambda _: None, pages=-1)
                    views.append(View(path, size, copied_to=target))
        yield views


def schema_of(path: Path) -> str:
    """Return the schema version that a database says it has; empty where it says none."""
    with closing(_connect(path)) as connection, _explained(path):
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return ""
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else ""


def damage_of(path: Path) -> str:
    """Return what SQLite finds wrong with a database; empty where nothing is."""
    try:
        with closing(_connect(path)) as connection:
            found = str(connection.execute("PRAGMA quick_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else found


def _connect(path: Path) -> sqlite3.Connection:
    with _explained(path):
        return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def _copy(source: sqlite3.Connection, target: Path, *, path: Path, on_bytes: Callable[[int], None], pages: int) -> None:
    page_bytes: int = source.execute("PRAGMA page_size").fetchone()[0]
    done = 0

    def progress(status: int, remaining: int, total: int) -> None:
        nonlocal done
        del status
        on_bytes((total - remaining - done) * page_bytes)
        done = total - remaining

    target.touch(mode=0o600)
    with _explained(path), closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous=OFF")  # one sync for all files comes before the manifest
        source.backup(copy, pages=pages, progress=progress)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"database {path} cannot be copied ({error}). Where it is locked, find the process that holds it; where it"
            " is damaged, restore it from an earlier backup; where the disk is full, free space."
        ) from error
