"""Many rows in one statement of SQLite's: one step of the database, and so one hand-over of the interpreter's lock.

`executemany` takes one step a row, and a thread that lets go of the interpreter's lock at each step waits each time
until a busy event loop hands it back. Rows go to the driver as they are: columns of plain types only.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection

_MOST_VALUES: Final = 8_000
"""Values in one statement; the limit of SQLite is 32,766."""


def insert_new_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, passing over those whose key is there already; return how many were inserted.

    Args:
        connection: Of a writing transaction on SQLite.
        table: Name of the table.
        rows: At least one; the keys of the first are the columns of all.
    """
    columns = tuple(rows[0])
    assert len(columns) > 1, "a table of one column has no use for this"
    values_of = itemgetter(*columns)
    size = max(1, _MOST_VALUES // len(columns))
    inserted = 0
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        values = tuple(chain.from_iterable(map(values_of, chunk)))
        inserted += connection.exec_driver_sql(_statement(table, columns, len(chunk)), values).rowcount
    return inserted


@lru_cache(maxsize=64)
def _statement(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * count)} ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
