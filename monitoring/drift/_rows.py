"""Rows encoded for daily figures: days, users and items as small integers, so that a figure is a count of pairs."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift.series import Array
from recmodels.data import schema
from recmodels.errors import DataError

_MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True)
class Coded:
    """A column as codes.

    Attributes:
        codes: (E,) number of each row's value in `names`.
        names: (V,) the distinct values.
    """

    codes: NDArray[np.int64]
    names: NDArray[np.str_]


@dataclass(frozen=True)
class Rows:
    """An interactions table, sorted by day.

    Attributes:
        table: The rows, sorted by day.
        day: (E,) number of each row's day in `days`, ascending.
        days: (D,) datetime64[D], every calendar day.
        users: The users as codes.
        items: The items as codes.
    """

    table: pa.Table
    day: NDArray[np.int64]
    days: NDArray[np.datetime64]
    users: Coded
    items: Coded

    @property
    def counts(self) -> Array:
        """Rows of each day, (D,)."""
        return np.bincount(self.day, minlength=len(self.days)).astype(np.float64)

    def present(self, column: str) -> bool:
        """Return whether the data set has any value in `column`."""
        return column in self.table.column_names and self.table[column].null_count < self.table.num_rows

    def by_day(self, weights: NDArray[np.generic]) -> Array:
        """Sum one value a row by day, (D,)."""
        return np.asarray(np.bincount(self.day, weights.astype(np.float64), len(self.days)), dtype=np.float64)


def encode_rows(interactions: pa.Table) -> Rows:
    """Sort rows by day and encode users and items.

    Args:
        interactions: Rows in the schema `INTERACTIONS`; a missing nullable column counts as absent.

    Raises:
        DataError: There are no rows, or a required column is missing.
    """
    required = (schema.TIMESTAMP, schema.USER_ID, schema.ITEM_ID, schema.SURFACE)
    missing = [name for name in required if name not in interactions.column_names]
    if missing:
        raise DataError(
            f"daily figures need the columns {', '.join(required)}; the table lacks {', '.join(missing)}. "
            "Ingest it through a source, which writes the whole contract."
        )
    if interactions.num_rows == 0:
        raise DataError("daily figures need at least one row; the window is empty. Choose a window that holds events.")
    micros = pc.cast(pc.cast(interactions[schema.TIMESTAMP], schema.TIMESTAMP_TYPE), pa.int64()).to_numpy()
    day = micros // _MICROSECONDS_A_DAY
    table = interactions
    if not (day[1:] >= day[:-1]).all():  # sorting copies every column, and what the lake gives is sorted
        order = np.argsort(day, kind="stable")
        table, day = interactions.take(pa.array(order)), day[order]
    first, last = int(day[0]), int(day[-1])
    return Rows(
        table=table,
        day=day - first,
        days=np.arange(first, last + 1).astype("datetime64[D]"),
        users=encode(table[schema.USER_ID]),
        items=encode(table[schema.ITEM_ID]),
    )


def encode(column: pa.ChunkedArray) -> Coded:
    """Return a string column as codes; a null becomes the empty string."""
    filled = pc.fill_null(column, "") if column.null_count else column
    coded = pc.dictionary_encode(filled).unify_dictionaries()
    names = coded.chunk(0).dictionary.to_pylist() if coded.num_chunks else []
    return Coded(codes=_indices(coded), names=np.asarray(names, dtype=np.str_))


def codes_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return a number for each row of a string column without nulls, (E,), equal where the strings are."""
    return _indices(pc.dictionary_encode(column).unify_dictionaries())


def _indices(coded: pa.ChunkedArray) -> NDArray[np.int64]:
    parts = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in coded.chunks]
    return np.concatenate(parts, dtype=np.int64) if parts else np.zeros(0, dtype=np.int64)


def numbers(column: pa.ChunkedArray) -> Array:
    """Return a numeric or boolean column as floats, (E,), null as NaN."""
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(), dtype=np.float64)


def sums(day: NDArray[np.int64], weights: NDArray[np.generic], *, days: int) -> Array:
    """Sum weights by day, (D,)."""
    return np.asarray(np.bincount(day, weights.astype(np.float64), days), dtype=np.float64)


def divide(a: Array, b: Array) -> Array:
    """Return a / b, NaN where b is 0."""
    return np.asarray(np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0), dtype=np.float64)


def pair_counts(rows: Rows, codes: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Count rows by (day, code): the days, codes and counts of the pairs that occur, sorted by day."""
    pairs, counts = np.unique(rows.day * size + codes, return_counts=True)
    return pairs // size, pairs % size, counts.astype(np.float64)
