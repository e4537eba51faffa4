"""Which files of the lake's tables belong to their versions up to one: what reading these needs, no more."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from recmodels.errors import StoreError

LOG: Final = "_delta_log"
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint\..*parquet")
_LAST: Final = "_last_checkpoint"


def table_names(root: Path) -> list[str]:
    """Return the tables of a folder, sorted."""
    return sorted(path.parent.name for path in root.glob(f"*/{LOG}"))


def versions_of(root: Path) -> dict[str, int]:
    """Return the newest version of every table of a folder."""
    found = {}
    for name in table_names(root):
        numbers = [int(match[1]) for path in (root / name / LOG).iterdir() if (match := _COMMIT.fullmatch(path.name))]
        if numbers:
            found[name] = max(numbers)
    return found


def files_until(root: Path, name: str, version: int) -> list[Path]:
    """Return the files of a table's versions up to one: its log, and every file with rows that is still there.

    Files that an erasure or `everfeed gc` took away are passed over: so are the versions that would need them.

    Raises:
        StoreError: The log is damaged.
    """
    log = log_until(root / name, version)
    named = {unquote(path) for path in _added(log)}
    return [*log, *sorted(path for path in (root / name / relative for relative in named) if path.is_file())]


def files_in_any_version(table: Path) -> set[Path]:
    """Return the files with rows that any version of a table names, there or not.

    Raises:
        StoreError: The log is damaged.
    """
    return {table / unquote(path) for path in _added(log_until(table, None))}


def log_until(table: Path, version: int | None) -> list[Path]:
    """Return the files of a table's log up to a version; None for all."""
    found = []
    for path in sorted((table / LOG).iterdir()):
        match = _COMMIT.fullmatch(path.name) or _CHECKPOINT.fullmatch(path.name)
        if (match and (version is None or int(match[1]) <= version)) or (
            path.name == _LAST and (version is None or _pointed_at(path) <= version)
        ):
            found.append(path)
    return found


def _pointed_at(path: Path) -> int:
    with _explained(path):
        return int(json.loads(path.read_text())["version"])


def _added(log: Iterable[Path]) -> Iterator[str]:
    for path in log:
        with _explained(path):
            if _COMMIT.fullmatch(path.name):
                actions = map(json.loads, path.read_text().splitlines())
                yield from (action["add"]["path"] for action in actions if "add" in action)
            elif _CHECKPOINT.fullmatch(path.name):
                rows = pq.read_table(path, columns=["add"])["add"].to_pylist()
                yield from (row["path"] for row in rows if row and row["path"])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}, of a table's log, is damaged ({error}). Restore the table from an earlier backup, or move its"
            " folder away and ingest again."
        ) from error
