"""Many rows in one statement: one step of the database, and so one hand-over of the interpreter's lock.

On SQLite `executemany` takes one step a row, and a thread that lets go of the interpreter's lock at each step waits
each time until a busy event loop hands it back; on PostgreSQL it takes round trips of the network. Rows go to the
driver as they are: columns of plain types only.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql

_MOST_VALUES: Final = 8_000
"""Values in one statement; the limit of SQLite is 32,766."""
_DIALECT: Final[Dialect] = postgresql.dialect()  # type: ignore[no-untyped-call]


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


def insert_new_arrays(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Do as `insert_new_rows` on PostgreSQL: one array a column, so that the statement is the same for any count.

    Args:
        connection: Of a writing transaction on PostgreSQL.
        table: The table.
        rows: At least one; the keys of the first are the columns of all.
    """
    columns = tuple(rows[0])
    arrays = tuple(_array([row[name] for row in rows]) for name in columns)
    return connection.exec_driver_sql(_array_statement(table, columns), arrays).rowcount


def _array(values: Sequence[Any]) -> str:
    """Return values as PostgreSQL writes an array of them, of any type."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


@lru_cache(maxsize=64)
def _array_statement(table: Table, columns: tuple[str, ...]) -> str:
    names = ",".join(f'"{name}"' for name in columns)
    arrays = ",".join(f"%s::{table.c[name].type.compile(_DIALECT)}[]" for name in columns)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names


@lru_cache(maxsize=64)
def _statement(table: str, columns: tuple[str, ...], count: int) -> str:
    row = f"({','.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({','.join(columns)}) VALUES {','.join([row] * count)} ON CONFLICT DO NOTHING"  # noqa: S608 - our own names
