"""A home that was restored elsewhere: what named files by the old home's absolute path names them by the new one's.

MLflow keeps where a run's artifacts are, Prefect where results are, a run's notes where its evaluation is. The lake's
tables, bundles and Everfeed's own tables hold no absolute path.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from recmodels.errors import StoreError

_OWN: Final = "everfeed.db"
_FOLDERS: Final = ("runs", "searches")


def relocate(folder: Path, *, old: str, new: str, databases: tuple[str, ...]) -> dict[str, int]:
    """Rewrite absolute paths in the stores of a home, and return how many values were rewritten, by file.

    Args:
        folder: Where the home's files lie now.
        old: Absolute path that the values name.
        new: Absolute path that they are to name.
        databases: The SQLite databases, from the home on.

    Raises:
        StoreError: A store is damaged.
    """
    if old == new:
        return {}
    moved = _mover(old, new)
    changed: dict[str, int] = {}
    for name in databases:
        if name != _OWN:
            changed[name] = _in_database(folder / name, moved, old=old)
    notes = [*folder.glob("*.json"), *(path for name in _FOLDERS for path in (folder / name).rglob("*.json"))]
    for path in sorted(notes):
        changed[path.relative_to(folder).as_posix()] = _in_json(path, moved)
    return {name: count for name, count in changed.items() if count}


def _mover(old: str, new: str) -> Callable[[str], str]:
    """Return what rewrites the old path in a text, as a path or a URL, but not a longer name that begins with it."""
    old_url, new_url = Path(old).as_uri(), Path(new).as_uri()  # a URL has blanks and others escaped
    pattern = re.compile(f"({re.escape(old_url)}|{re.escape(old)})(?![\\w.%-])")
    return lambda text: pattern.sub(lambda match: new_url if match[1] == old_url else new, text)


def _in_database(path: Path, moved: Callable[[str], str], *, old: str) -> int:
    changed = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.create_function("moved", 1, moved, deterministic=True)
            connection.execute("BEGIN IMMEDIATE")
            for table, column in _texts(connection):
                changed += connection.execute(
                    f'UPDATE "{table}" SET "{column}" = moved("{column}")'  # noqa: S608 - names from the database itself
                    f' WHERE typeof("{column}") = \'text\' AND (instr("{column}", ?) OR instr("{column}", ?))'
                    f' AND moved("{column}") <> "{column}"',
                    (old, Path(old).as_uri()),
                ).rowcount
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(
            f"paths in {path.name} of the backup cannot be rewritten ({error}). Restore into {old}, where the home was."
        ) from error
    return changed


def _texts(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the columns that can hold text: tables' own, not those that SQLite's search extensions keep."""
    query = (
        "SELECT t.name, c.name FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c"
        " WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND c.hidden = 0"
    )
    return [(str(table), str(column)) for table, column in connection.execute(query)]


def _in_json(path: Path, moved: Callable[[str], str]) -> int:
    text = path.read_text()
    if moved(text) == text:
        return 0
    count = 0

    def rewritten(value: object) -> object:
        nonlocal count
        if isinstance(value, str):
            count += moved(value) != value
            return moved(value)
        if isinstance(value, Mapping):
            return {moved(key): rewritten(one) for key, one in value.items()}
        return [rewritten(one) for one in value] if isinstance(value, list) else value

    try:
        document = rewritten(json.loads(text))
    except ValueError as error:
        raise StoreError(f"{path.name} of the backup is no JSON ({error}). Take another backup with --at.") from error
    path.write_text(json.dumps(document))
    return count
