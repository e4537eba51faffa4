"""What is asked of the lake's tables: rows of a window, of a share of the users, and how many a day has."""

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from infra.lake_layout import TIME_COLUMNS, order_of, table_schema
from infra.lake_tables import DeltaTables
from recmodels.data import schema
from recmodels.errors import DataError


def select_rows(
    tables: DeltaTables,
    table_name: str,
    *,
    start: datetime | None,
    end: datetime | None,
    version: int | None,
    columns: Sequence[str] | None,
    share: float,
) -> pa.Table:
    """Return rows as `Lake.read` does, whose caller holds off erasures."""
    table = tables.open(table_name, version=version)
    target = _target_schema(table, table_name, columns=columns)
    files = tables.files(table, table_name, start=start, end=end)
    if not files:
        return target.empty_table()
    condition, moments = _condition(table_name, start=start, end=end)
    if share < 1:
        condition += f" AND {_of_users(table_name, share)}"
    names = ", ".join(f'"{name}"' for name in target.names)
    order = ", ".join(f'"{name}"' for name in order_of(table_name))
    whole = f"(SELECT * FROM files UNION ALL BY NAME {_no_rows(table_name)})"  # noqa: S608 - likewise
    query = f"SELECT {names} FROM {whole} WHERE {condition} ORDER BY {order}"  # noqa: S608 - the contract's names
    return tables.query(table_name, query, files=files, parameters=moments).cast(target)


def count_days(tables: DeltaTables, table_name: str, *, version: int | None) -> dict[date, int]:
    """Return the number of rows of each UTC day that has any."""
    column = time_column(table_name)
    files = tables.files(tables.open(table_name, version=version), table_name)
    if not files:
        return {}
    query = f'SELECT "{column}"::DATE AS day, count(*) AS rows FROM files GROUP BY day ORDER BY day'  # noqa: S608
    counts = tables.query(table_name, query, files=files)
    return dict(zip(counts["day"].to_pylist(), counts["rows"].to_pylist(), strict=True))


def time_column(table_name: str) -> str:
    """Return the column that a table's windows are cut by.

    Raises:
        DataError: It has none.
    """
    if table_name not in TIME_COLUMNS:
        raise DataError(
            f"table {table_name!r} has no time column. With windows: {', '.join(TIME_COLUMNS)}; or replace it whole."
        )
    return TIME_COLUMNS[table_name]


def refuse_outside(frame: pa.Table, *, column: str, start: datetime, end: datetime, table_name: str) -> None:
    """Raise `DataError` where a window is empty, or a frame has rows outside of it."""
    if start >= end:
        raise DataError(f"the window from {start.isoformat()} to {end.isoformat()} is empty. Its end must be later.")
    if frame.num_rows == 0:
        return
    bounds = pc.min_max(frame[column]).as_py()
    if bounds["min"] < start or bounds["max"] >= end:
        raise DataError(
            f"{table_name} has rows from {bounds['min'].isoformat()} to {bounds['max'].isoformat()}, outside the window"
            f" from {start.isoformat()} to {end.isoformat()}. Widen the window, or cut the rows."
        )


def _condition(table_name: str, *, start: datetime | None, end: datetime | None) -> tuple[str, list[datetime]]:
    """Return the SQL of a window with the values that it names."""
    bounds = [(sign, moment) for sign, moment in ((">=", start), ("<", end)) if moment is not None]
    if not bounds:
        return "TRUE", []
    column = time_column(table_name)
    parts = [f'"{column}" {sign} ${place}::TIMESTAMPTZ' for place, (sign, _) in enumerate(bounds, start=1)]
    return " AND ".join(parts), [moment for _, moment in bounds]


def _of_users(table_name: str, share: float) -> str:
    """Return the SQL condition that a row is of one of a share of the users, chosen by a hash of their id."""
    known = schema.TABLES[table_name].names
    if schema.USER_KEY in known:
        return f"\"{schema.USER_KEY}\" < '{int(share * 16**8):08x}'"  # keys are hashes: a prefix is a sample
    assert schema.USER_ID in known, f"{table_name} tells of no users"
    return f'hash("{schema.USER_ID}") % 1000000 < {round(share * 1_000_000)}'


def _no_rows(table_name: str) -> str:
    """Return SQL for an empty relation with every column that may be null: files may be older than such a column."""
    columns = ", ".join(f'NULL AS "{field.name}"' for field in schema.TABLES[table_name] if field.nullable)
    return f"SELECT {columns or 'NULL'} WHERE FALSE"


def _target_schema(table: DeltaTable, table_name: str, *, columns: Sequence[str] | None) -> pa.Schema:
    partitions = set(table.metadata().partition_columns)
    stored = [field.name for field in table.schema().fields if field.name not in partitions]
    target = table_schema(table_name, names=stored)
    if columns is None:
        return target
    unknown = [name for name in columns if name not in target.names]
    if unknown:
        raise DataError(f"{table_name} has no column {', '.join(unknown)}. Known: {', '.join(target.names)}.")
    return pa.schema([target.field(name) for name in columns])
