"""Interactions in the contract's form: what every source's rows become before anything else sees them."""

from __future__ import annotations

import atexit
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.columns import as_schema_column, describe_row
from recmodels.data.schema import (
    CLICKED,
    EVENT_ID,
    EXPOSED_AT,
    INTERACTIONS,
    ITEM_ID,
    LIKED,
    LONG_VIEWED,
    ORIGIN,
    ORIGIN_EVENT,
    ORIGIN_REPLAY,
    RATING,
    SURFACE,
    SURFACES,
    TIMESTAMP,
    USER_ID,
    WATCH_SECONDS,
)
from recmodels.errors import DataError

if TYPE_CHECKING:
    import duckdb

    # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import DataConfig

_REQUIRED = (USER_ID, ITEM_ID, TIMESTAMP)
_DEFAULTS = {SURFACE: SURFACES[0], ORIGIN: ORIGIN_EVENT}
MEASURES = (RATING, WATCH_SECONDS)
"""Columns that make a label through `label_minimum`; the other labels are yes or no."""


@dataclass(frozen=True)
class Deduplicated:
    """Interactions with each event once.

    Attributes:
        table: The rows kept, in the order in which they stood.
        dropped: Number of rows left out.
    """

    table: pa.Table
    dropped: int


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One empty in-memory database a process: opening one takes 50 ms and more, a cursor on it 10 microseconds."""
    import duckdb  # late: a gateway reads features of requests, and asks no query

    database = duckdb.connect(":memory:")
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET autoinstall_known_extensions = false")
    database.execute("SET autoload_known_extensions = false")
    # While Prefect's threads live, an open connection outlasts the interpreter and DuckDB prints a page about leaks.
    atexit.register(_database.cache_clear)
    return database


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection of one's own: times are UTC, no extension is reached for, tables of others unseen."""
    return _database().cursor()


def normalise(table: pa.Table, *, source: str) -> pa.Table:
    """Bring rows into the schema `INTERACTIONS`.

    Nullable columns that are missing are added as nulls; `surface` becomes ``video`` and `origin` ``event`` where the
    table has no such column; `event_id` is made from the content of the row, so that an exact duplicate gets the same.
    Null user and item ids pass, for validation to quarantine.

    Args:
        table: Columns named as in the contract, of any type that converts without loss.
        source: Where the rows come from, for messages.

    Raises:
        DataError: A required column is missing, a column is unknown, a value does not convert, or a timestamp is null.
    """
    _check_columns(table, source=source)
    columns = {}
    for field in INTERACTIONS:
        if field.name in table.column_names:
            columns[field.name] = as_schema_column(table[field.name], field, source=source)
        elif field.name != EVENT_ID:
            columns[field.name] = pa.repeat(pa.scalar(_DEFAULTS.get(field.name), field.type), table.num_rows)
    _check_timestamps(columns[TIMESTAMP], source=source)
    if EVENT_ID not in columns:
        columns[EVENT_ID] = content_ids(pa.table(columns))
    return pa.table([columns[name] for name in INTERACTIONS.names], schema=INTERACTIONS)


def content_ids(table: pa.Table) -> pa.ChunkedArray:
    """Return an id a row, made from all of its values, so that equal rows have equal ids (MD5, 32 digits)."""
    with connect() as connection:
        connection.register("rows", table.append_column("_row", pa.array(np.arange(table.num_rows))))
        found = connection.sql(f"SELECT _row, md5({_row_text(table)}) AS id FROM rows ORDER BY _row")  # noqa: S608
        ids = found.to_arrow_table()
    assert np.array_equal(ids["_row"].to_numpy(), np.arange(table.num_rows)), "event ids came back out of order"
    return ids["id"].cast(pa.string())


def deduplicate(table: pa.Table) -> Deduplicated:
    """Keep one row an event id, the one whose content has the smallest hash; rows without an id are all kept."""
    rows = table.append_column("_row", pa.array(np.arange(table.num_rows)))
    with connect() as connection:
        connection.register("rows", rows)
        kept = connection.sql(
            f"SELECT arg_min(_row, ({_row_text(table)}, _row)) AS kept FROM rows "  # noqa: S608
            f"WHERE {EVENT_ID} IS NOT NULL GROUP BY {EVENT_ID} "
            f"UNION ALL SELECT _row FROM rows WHERE {EVENT_ID} IS NULL"
        ).fetchnumpy()["kept"]
    return Deduplicated(table.take(pa.array(np.sort(kept))), table.num_rows - len(kept))


def fingerprint(table: pa.Table) -> str:
    """Return 64 hexadecimal digits of the content, whatever the order and the chunking of the rows.

    Two tables with the same columns and the same rows, each as often, have the same fingerprint.
    """
    with connect() as connection:
        connection.register("rows", table)
        figures = connection.execute(
            f"SELECT count(*), sum(md5_number_lower(text)), sum(md5_number_upper(text)) "  # noqa: S608
            f"FROM (SELECT {_row_text(table)} AS text FROM rows)"
        ).fetchone()
    kinds = [f"{field.name}:{field.type}" for field in table.schema]
    return hashlib.sha256(repr((sorted(kinds), figures)).encode()).hexdigest()


def window(table: pa.Table, *, start: datetime | None = None, end: datetime | None = None) -> pa.Table:
    """Return the rows with ``start <= timestamp < end``; a bound left out is open, one without a zone is UTC.

    Raises:
        DataError: No row lies in the range; the message says which range the data covers.
    """
    moments = table[TIMESTAMP]
    keep = pc.is_valid(moments)
    if start is not None:
        keep = pc.and_(keep, pc.greater_equal(moments, pa.scalar(as_utc(start), moments.type)))
    if end is not None:
        keep = pc.and_(keep, pc.less(moments, pa.scalar(as_utc(end), moments.type)))
    chosen = table.filter(keep)
    if chosen.num_rows == 0:
        covered = pc.min_max(moments).as_py() if table.num_rows else {"min": None, "max": None}
        raise DataError(
            f"no interaction lies in the range from {start} to {end}; the data has {table.num_rows} rows "
            f"from {covered['min']} to {covered['max']}. Choose a range that overlaps it."
        )
    return chosen


def positives(table: pa.Table, data: DataConfig) -> pa.Table:
    """Return the interactions that count, sorted by user, time and, for ties, a fixed hash (MD5) of the event id.

    Rows of origin ``replay`` and rows without a user or item id are left out.

    Args:
        table: Rows in the schema `INTERACTIONS`.
        data: The recipe's label.

    Raises:
        DataError: The label's column holds no value in these rows.
    """
    chosen = table.filter(_is_usable(table, data))
    with connect() as connection:
        connection.register("rows", chosen.append_column("_row", pa.array(np.arange(chosen.num_rows))))
        order: NDArray[np.int64] = connection.sql(
            f"SELECT _row FROM rows ORDER BY {USER_ID}, {TIMESTAMP}, md5({EVENT_ID}), _row"  # noqa: S608
        ).fetchnumpy()["_row"]
    return chosen.take(pa.array(order)).combine_chunks()


def as_utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a zone is taken to be UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _is_usable(table: pa.Table, data: DataConfig) -> pa.ChunkedArray:
    usable = pc.and_(pc.is_valid(table[USER_ID]), pc.is_valid(table[ITEM_ID]))
    usable = pc.and_(usable, pc.not_equal(table[ORIGIN], ORIGIN_REPLAY))
    if data.label == "any":
        return pc.and_(usable, pc.invert(_was_passed_over(table)))
    values = table[data.label]
    if values.null_count == len(values):
        known = [f.name for f in INTERACTIONS if f.name != data.label and _can_label(table, f.name)]
        raise DataError(
            f"label {data.label!r} has no value in {table.num_rows} interactions. "
            f"Labels that this data has: {', '.join(['any', *known])}."
        )
    is_positive = pc.greater_equal(values, data.label_minimum) if data.label in MEASURES else values
    return pc.and_(usable, pc.fill_null(is_positive, False))  # noqa: FBT003


def _was_passed_over(table: pa.Table) -> pa.ChunkedArray:
    """Return True for an item that was shown and not clicked: that it was shown is not the user's choice."""
    is_exposure = pc.is_valid(table[EXPOSED_AT])
    return pc.and_(is_exposure, pc.invert(pc.fill_null(table[CLICKED], True)))  # noqa: FBT003


def _can_label(table: pa.Table, name: str) -> bool:
    return name in (*MEASURES, CLICKED, LIKED, LONG_VIEWED) and table[name].null_count < table.num_rows


def _check_columns(table: pa.Table, *, source: str) -> None:
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise DataError(
            f"{source}: column {missing[0]!r} is missing; the columns are {table.column_names}. "
            f"Interactions need {', '.join(_REQUIRED)}: map a column to each."
        )
    unknown = [name for name in table.column_names if name not in INTERACTIONS.names]
    if unknown:
        raise DataError(
            f"{source}: column {unknown[0]!r} is not part of the contract. Leave it out or map it to one of: "
            f"{', '.join(INTERACTIONS.names)}."
        )


def _check_timestamps(moments: pa.ChunkedArray, *, source: str) -> None:
    if moments.null_count:
        row = pc.index(pc.is_null(moments), True).as_py()
        raise DataError(
            f"{source}: {moments.null_count} of {len(moments)} timestamps are null or not a number, first at "
            f"{describe_row(row)}. Every interaction needs the time at which it happened: correct or remove these rows."
        )


def _row_text(table: pa.Table) -> str:
    """SQL for one text a row that differs whenever a value does; columns in the order of their names."""
    texts = (f'CAST("{name}" AS VARCHAR)' for name in sorted(table.column_names))
    parts = (f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts)
    return f"concat({', '.join(parts)})"
