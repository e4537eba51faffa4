"""A user in the files of a home besides the lake and the database: which hold anything, and how it goes.

Tables lose the rows about the user, whole files at a time; texts have the id and the key masked where they stand, since
a service may be writing to them. Bundles hold nobody and are named by their content, so they are left alone; the
downloads are as their publishers made them, and ingest leaves erased users out.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.settings import Settings
from recmodels.data import schema

_TEXTS: Final = frozenset({".csv", ".html", ".json", ".jsonl", ".log", ".md", ".txt"})
_NOT_LOOKED_AT: Final = ("bundles", "bundle", "downloads", "lake", "prefect", "receipts", "secrets")
_DISTINCTIVE: Final = 6
_MASK: Final = b"*"


@dataclass(frozen=True)
class Person:
    """Whom an erasure is about; never shown.

    Attributes:
        user_id: The raw id; empty where only the key is known.
        user_key: The key.
    """

    user_id: str = field(repr=False)
    user_key: str = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Id and key, where they are known."""
        return tuple(name for name in (self.user_id, self.user_key) if name)

    @property
    def is_distinctive(self) -> bool:
        """Whether the id can be told from other words and numbers of a text wherever it stands."""
        return len(self.user_id) >= _DISTINCTIVE and not self.user_id.isdecimal()


def count_in_files(settings: Settings, person: Person) -> dict[str, int]:
    """Return how many rows of tables and places of texts are about a person, by the home's folder."""
    found: dict[str, int] = {}
    for path, count in chain(_each(settings, _count_rows, person), _each(settings, _count_places, person)):
        store = f"files.{path.relative_to(settings.root).parts[0]}"
        found[store] = found.get(store, 0) + count
    return {store: count for store, count in found.items() if count}


def erase_from_files(settings: Settings, person: Person) -> int:
    """Remove a person from the home's files, and return how many files changed; doing it again changes none."""
    tables = sum(1 for path, count in _each(settings, _count_rows, person) if count and _rewrite(path, person))
    return tables + sum(1 for path, count in _each(settings, _count_places, person) if count and _mask(path, person))


def files_with(root: Path, person: Person) -> list[Path]:
    """Return the files below a folder in whose bytes the key stands, or the id where it is distinctive."""
    pattern = re.compile(b"|".join(_words(person)) or rb"(?!)")
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "downloads" not in path.parts)
    return [path for path in files if pattern.search(path.read_bytes())]


def _each(settings: Settings, count: Callable[[Path, Person], int], person: Person) -> Iterator[tuple[Path, int]]:
    for path in sorted(settings.root.rglob("*")):
        inside = path.relative_to(settings.root).parts
        if path.is_file() and not set(_NOT_LOOKED_AT).intersection(inside[:-1]):
            yield path, count(path, person)


def _count_rows(path: Path, person: Person) -> int:
    if path.suffix != ".parquet":
        return 0
    file = pq.ParquetFile(path)
    names = [name for name in (schema.USER_ID, schema.USER_KEY, schema.ROW) if name in file.schema_arrow.names]
    return int(pc.sum(_about(file.read(names), person)).as_py() or 0) if names else 0


def _about(rows: pa.Table, person: Person) -> pa.ChunkedArray:
    """Return which rows are about a person, by the columns that can tell."""
    found = pa.chunked_array([pa.repeat(pa.scalar(False), rows.num_rows)])  # noqa: FBT003 - pyarrow takes it so
    for column, name in ((schema.USER_ID, person.user_id), (schema.USER_KEY, person.user_key)):
        if name and column in rows.column_names:
            found = pc.or_(found, pc.fill_null(pc.equal(rows[column].cast(pa.string()), name), False))  # noqa: FBT003
    if schema.ROW in rows.column_names:
        found = pc.or_(found, _quarantined(rows[schema.ROW], person))
    return found


def _quarantined(rows: pa.ChunkedArray, person: Person) -> pa.ChunkedArray:
    """Return which quarantined rows, kept as JSON, are about a person; those that are no JSON, if they name one."""
    found = pa.chunked_array([pa.repeat(pa.scalar(False), len(rows))])  # noqa: FBT003
    for name in person.names:
        found = pc.or_(found, pc.fill_null(pc.match_substring(rows, name), False))  # noqa: FBT003
    candidates = {text: _names(text, person) for text in rows.filter(found).to_pylist()}
    wrong = pa.array([text for text, is_about in candidates.items() if not is_about], pa.string())
    return pc.and_(found, pc.invert(pc.is_in(rows, value_set=wrong)))


def _names(text: str, person: Person) -> bool:
    try:
        row = json.loads(text)
    except ValueError:
        return True
    return {row.get(schema.USER_ID), row.get(schema.USER_KEY)} & set(person.names) != set()


def _rewrite(path: Path, person: Person) -> bool:
    rows = pq.read_table(path)
    kept = rows.filter(pc.invert(_about(rows, person)))
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    pq.write_table(kept, partial, compression="zstd")
    partial.replace(path)
    return True


def _count_places(path: Path, person: Person) -> int:
    return len(_pattern(path, person).findall(path.read_bytes())) if path.suffix in _TEXTS else 0


def _pattern(path: Path, person: Person) -> re.Pattern[bytes]:
    """Return what to mask in a text: a plain number or a short id only where it stands alone in the Data Docs."""
    parts = _words(person)
    if person.user_id and not person.is_distinctive and "data_docs" in path.parts:
        parts.append(rb"""(?<=["'>])""" + re.escape(person.user_id.encode()) + rb"""(?=["'<])""")
    return re.compile(b"|".join(parts) or rb"(?!)")


def _words(person: Person) -> list[bytes]:
    """Return patterns of the key and of a distinctive id, which is not found within a longer one."""
    parts = [re.escape(person.user_key.encode())] if person.user_key else []
    return parts + (
        [rb"(?<![\w-])" + re.escape(person.user_id.encode()) + rb"(?![\w-])"] if person.is_distinctive else []
    )


def _mask(path: Path, person: Person) -> bool:
    """Write over each place with as many bytes, so that who is writing to the end of the file is not disturbed."""
    with path.open("r+b") as file:
        for match in _pattern(path, person).finditer(path.read_bytes()):
            file.seek(match.start())
            file.write(_MASK * len(match[0]))
    return True
