"""How the tables of the contract lie in the lake: their time columns, their partitions, their order, their schemas."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data import schema
from recmodels.errors import DataError

ROWS_FOR_DAILY_PARTITIONS: Final = 10_000
"""With so many rows on a median day, or more, each day is a partition; otherwise each month is."""

DAY: Final = "day"
MONTH: Final = "month"

TIME_COLUMNS: Final = {
    "interactions": schema.TIMESTAMP,
    "impressions": schema.TIMESTAMP,
    "outcomes": schema.TIMESTAMP,
    "quarantine": schema.QUARANTINED_AT,
}
"""Tables with windows, and the column that the windows are cut by."""

_KEYS: Final = {
    "interactions": (schema.EVENT_ID,),
    "impressions": (schema.REQUEST_ID, schema.POSITION),
    "outcomes": (schema.EVENT_ID,),
    "quarantine": (schema.TABLE, schema.ROW),
    "items": (schema.ITEM_ID,),
    "users": (schema.USER_ID,),
}
_ATTRIBUTE_TABLES: Final = frozenset({"users"})
_MICROSECOND: Final = timedelta(microseconds=1)


def order_of(table_name: str) -> tuple[str, ...]:
    """Return the columns that rows are sorted by when they are read."""
    time = TIME_COLUMNS.get(table_name)
    return ((time,) if time else ()) + _KEYS[table_name]


def table_schema(table_name: str, *, names: Sequence[str]) -> pa.Schema:
    """Return the schema of a table that has the columns `names`: the contract's, then attributes in their order."""
    contract = schema.TABLES[table_name]
    extra = [pa.field(name, pa.string()) for name in names if name not in contract.names]
    return pa.schema([*contract, *extra])


def conform(frame: pa.Table, table_name: str) -> pa.Table:
    """Return the frame in the table's schema: its columns in order, cast, and checked for nulls.

    Raises:
        DataError: A column is missing, unknown, of another type, or has nulls where the contract has none.
    """
    if table_name not in schema.TABLES:
        raise DataError(f"table {table_name!r} is not in the data contract. Known: {', '.join(schema.TABLES)}.")
    contract = schema.TABLES[table_name]
    missing = [name for name in contract.names if name not in frame.column_names]
    unknown = [name for name in frame.column_names if name not in contract.names]
    if missing or (unknown and table_name not in _ATTRIBUTE_TABLES):
        problem = f"lacks {', '.join(missing)}" if missing else f"has the unknown columns {', '.join(unknown)}"
        raise DataError(f"{table_name} {problem}. Expected exactly: {', '.join(contract.names)}.")
    target = table_schema(table_name, names=frame.column_names)
    try:
        cast = frame.select(target.names).cast(pa.schema([pa.field(field.name, field.type) for field in target]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{table_name} is not in the data contract's types: {error}. Normalise it first.") from error
    empty = [field.name for field in target if not field.nullable and cast[field.name].null_count]
    if empty:
        raise DataError(
            f"{table_name} has nulls in {', '.join(empty)}, which the data contract forbids. Quarantine them."
        )
    return cast.cast(target)


def partition_of(frame: pa.Table, column: str) -> str:
    """Return how a table that begins with `frame` is partitioned: by `DAY` where a median day has enough rows."""
    days = frame[column].cast(pa.int64()).to_numpy() // 86_400_000_000
    _, counts = np.unique(days, return_counts=True)
    return DAY if len(counts) and np.median(counts) >= ROWS_FOR_DAILY_PARTITIONS else MONTH


def with_partition(frame: pa.Table, column: str, partition: str) -> pa.Table:
    """Return the frame with its partition's column appended: ``2024-03-01`` for days, ``2024-03`` for months."""
    days = frame[column].cast(pa.timestamp("us")).cast(pa.date32(), safe=False).cast(pa.string())
    values = days if partition == DAY else pc.utf8_slice_codeunits(days, 0, 7)
    return frame.append_column(pa.field(partition, pa.string(), nullable=False), values)


def partition_range(partition: str, *, start: datetime | None, end: datetime | None) -> list[tuple[str, str, str]]:
    """Return the filters that choose the partitions which ``start <= time < end`` can touch; no bound, no filter."""
    length = len("2024-03-01") if partition == DAY else len("2024-03")
    lower = [] if start is None else [(partition, ">=", start.isoformat()[:length])]
    upper = [] if end is None else [(partition, "<=", (end - _MICROSECOND).isoformat()[:length])]
    return lower + upper
