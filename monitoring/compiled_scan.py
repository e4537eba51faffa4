"""One pass of DuckDB over a table, or over Parquet files, that answers every form at once."""

from __future__ import annotations  # a class of DuckDB in an annotation outlives its module, and is reported as a leak

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from glob import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from monitoring.compiled import Condition, Figure, Form, Repetition
from monitoring.compiled_sql import MOMENT, quoted, shown
from recmodels.data.interactions import connect

if TYPE_CHECKING:
    import duckdb

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GROUPS: Final = 20


@dataclass(frozen=True)
class Files:
    """Rows that stay in Parquet files, for tables that are larger than memory.

    Attributes:
        paths: The files, with the same columns each.
    """

    paths: tuple[str, ...]


class Scan:
    """A table as DuckDB reads it: an Arrow table is not copied, files are read column by column.

    Args:
        connection: A connection of its own.
        rows: The table.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table | Files) -> None:
        self._connection = connection
        self._compared: dict[Repetition, int] = {}
        if isinstance(rows, Files):
            paths = [escape(path) for path in rows.paths]
            connection.read_parquet(paths, union_by_name=True, hive_partitioning=False).create_view("scanned")
            self.schema: pa.Schema = connection.sql("SELECT * FROM scanned LIMIT 0").to_arrow_table().schema
            self._rows: pa.Table | None = None
        else:
            if rows.num_columns:
                connection.register("scanned", rows)
            self.schema = rows.schema
            self._rows = rows

    @cached_property
    def num_rows(self) -> int:
        """How many rows there are."""
        if self._rows is not None:
            return int(self._rows.num_rows)
        return int(self._one_row("SELECT count(*) FROM scanned")[0])

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return some columns in memory."""
        if self._rows is not None:
            return self._rows.select(names)
        listed = ", ".join(map(quoted, names)) or "NULL AS none"
        return self._connection.sql(f"SELECT {listed} FROM scanned").to_arrow_table()  # noqa: S608

    def measure(self, forms: Sequence[Form]) -> list[object]:
        """Return the value of each form, in one pass.

        A condition's value is the number of its unexpected rows, and so is a repetition's: its pass collects the hashes
        of the keys, and only where some are equal a second query counts the rows exactly.
        """
        if not forms:
            return []
        wanted = ", ".join(f"{_aggregate(form)} AS f{place}" for place, form in enumerate(forms))
        found = self._connection.sql(f"SELECT {wanted} FROM scanned").to_arrow_table()  # noqa: S608 - our own SQL
        return [self._value(form, found.column(place)[0]) for place, form in enumerate(forms)]

    def unexpected(self, forms: Sequence[Condition | Repetition], *, limit: int) -> list[list[object]]:
        """Return the first unexpected values of each form, at most `limit` of each, in one query."""
        if not forms:
            return []
        wanted = [f"(SELECT list(v) FROM ({_first_unexpected(form)} LIMIT {limit}))" for form in forms]  # noqa: S608
        found = self._one_row(f"SELECT {', '.join(wanted)}")
        return [[_readable(form, v) for v in values or []] for form, values in zip(forms, found, strict=True)]

    def considered(self, form: Repetition) -> int:
        """Return how many rows a repetition compares."""
        return self._compared[form]

    def _value(self, form: Form, found: pa.Scalar) -> object:
        if isinstance(form, Repetition):
            hashes = np.sort(found.values.to_numpy()) if found.is_valid else np.empty(0, np.uint64)
            self._compared[form] = len(hashes)
            return self._repeated(form) if (hashes[1:] == hashes[:-1]).any() else 0
        value = found.as_py()
        if isinstance(value, Decimal):  # DuckDB sums integers in 128 bits
            return int(value)
        return _moment(value) if isinstance(form, Figure) and form.family == MOMENT else value

    def _repeated(self, form: Repetition) -> int:
        groups = f"SELECT count(*) AS n FROM scanned WHERE {form.considered} GROUP BY {', '.join(form.keys)}"  # noqa: S608
        return int(self._one_row(f"SELECT coalesce(sum(n), 0) FROM ({groups}) WHERE n > 1")[0])  # noqa: S608

    def _one_row(self, query: str) -> tuple[Any, ...]:
        (row,) = self._connection.execute(
            query
        ).fetchall()  # a result that is not read to its end blocks the connection
        return tuple(row)


@contextmanager
def scanning(rows: pa.Table | Files) -> Iterator[Scan]:
    """Open a table for scans."""
    with connect() as connection:
        yield Scan(connection, rows)


def _aggregate(form: Form) -> str:
    if isinstance(form, Condition):
        return f"count(*) FILTER ({form.unexpected})"
    if isinstance(form, Figure):
        return form.sql
    return f"list(hash({', '.join(form.keys)})) FILTER ({form.considered})"


def _first_unexpected(form: Condition | Repetition) -> str:
    if isinstance(form, Condition):
        return f"SELECT {shown(quoted(form.column), form.family)} AS v FROM scanned WHERE {form.unexpected}"  # noqa: S608
    parts = [shown(quoted(column), family) for column, family in zip(form.columns, form.families, strict=True)]
    named = ", ".join(f"{_text(column)}: {part}" for column, part in zip(form.columns, parts, strict=True))
    value, keys = parts[0] if len(parts) == 1 else f"{{{named}}}", ", ".join(form.keys)
    groups = (
        f"SELECT any_value({value}) AS one, count(*) AS n FROM scanned WHERE {form.considered}"  # noqa: S608
        f" GROUP BY {keys} HAVING n > 1 ORDER BY {keys} LIMIT {_GROUPS}"
    )
    return f"SELECT unnest(list_resize([one], least(n, {_GROUPS}), one)) AS v FROM ({groups})"  # noqa: S608


def _readable(form: Condition | Repetition, value: object) -> object:
    if isinstance(form, Condition) or not isinstance(value, dict):
        family = form.family if isinstance(form, Condition) else form.families[0]
        return _moment(value) if family == MOMENT else value
    families = dict(zip(form.columns, form.families, strict=True))
    return {name: _moment(part) if families[name] == MOMENT else part for name, part in value.items()}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _moment(value: object) -> datetime | None:
    return _EPOCH + timedelta(microseconds=value) if isinstance(value, int) else None
