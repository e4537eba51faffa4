"""The vocabulary of row-level rules: what makes a single row unusable, whatever the others are.

Great Expectations keeps one expectation of a type for a column, and drops the others without a word. So of the rules
that bound a column's values only `not_after`, `at_least` and `within` have a native form; a suite uses one a column.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.suite import Column, Expectation, RowRule
from recmodels.data.interactions import connect

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing happened before it; order-only data counts its positions from it."""

_BLANK: Final = r"^[ \t\r\n\f\v]*$"
_COLUMN_VALUES: Final = "expect_column_values_to_"


def present(column: str) -> RowRule:
    """Ask for a value."""
    return RowRule(
        column=column,
        reason=f"{column} is null",
        holds=f"{column} is not null",
        needs=(column,),
        breaks=lambda table: _mask(pc.is_null(table[column])),
        native=Expectation(f"{_COLUMN_VALUES}not_be_null", {"column": column}),
    )


def filled(column: str) -> tuple[RowRule, RowRule]:
    """Ask for a string that is neither null nor blank."""
    blank = RowRule(
        column=column,
        reason=f"{column} is blank",
        holds=f"{column} is not blank",
        needs=(column,),
        breaks=lambda table: _mask(pc.match_substring_regex(table[column], _BLANK)),
        native=Expectation(f"{_COLUMN_VALUES}not_match_regex", {"column": column, "regex": _BLANK}),
    )
    return present(column), blank


def not_after(column: str, latest: datetime) -> RowRule:
    """Ask for a timestamp that is not in the future; null passes."""
    return RowRule(
        column=column,
        reason=f"{column} is in the future",
        holds=f"{column} is at most {latest.isoformat()}",
        needs=(column,),
        breaks=lambda table: _mask(pc.greater(table[column], pa.scalar(latest, table.schema.field(column).type))),
        native=Expectation(f"{_COLUMN_VALUES}be_between", {"column": column, "max_value": latest}),
    )


def not_before(column: str, earliest: datetime) -> RowRule:
    """Ask for a timestamp that is not from before `earliest`; null passes."""
    return RowRule(
        column=column,
        reason=f"{column} is before {earliest.date().isoformat()}",
        holds=f"{column} is at least {earliest.isoformat()}",
        needs=(column,),
        breaks=lambda table: _mask(pc.less(table[column], pa.scalar(earliest, table.schema.field(column).type))),
    )


def finite(column: str) -> RowRule:
    """Ask for a number that is neither NaN nor infinite; null passes."""
    return RowRule(
        column=column,
        reason=f"{column} is not a finite number",
        holds=f"{column} is a finite number",
        needs=(column,),
        breaks=lambda table: _mask(pc.invert(pc.is_finite(table[column]))),
    )


def number(column: str) -> tuple[RowRule, RowRule]:
    """Ask for a finite number; null does not pass.

    Great Expectations takes NaN for null in numeric columns, so that only our own mask tells the two apart.
    """
    return replace(present(column), native=None), finite(column)


def at_least(column: str, minimum: float) -> RowRule:
    """Ask for a number of at least `minimum`; null and NaN pass, since other rules answer for them."""
    return RowRule(
        column=column,
        reason=f"{column} is negative" if minimum == 0 else f"{column} is below {minimum:g}",
        holds=f"{column} is at least {minimum:g}",
        needs=(column,),
        breaks=lambda table: _mask(pc.less(table[column], minimum)),
        native=Expectation(f"{_COLUMN_VALUES}be_between", {"column": column, "min_value": minimum}),
    )


def within(column: str, minimum: float, maximum: float) -> RowRule:
    """Ask for a number between two limits, both included; null and NaN pass."""
    limits = {"column": column, "min_value": minimum, "max_value": maximum}
    return RowRule(
        column=column,
        reason=f"{column} is outside {minimum:g} to {maximum:g}",
        holds=f"{column} is from {minimum:g} to {maximum:g}",
        needs=(column,),
        breaks=lambda table: _mask(pc.or_(pc.less(table[column], minimum), pc.greater(table[column], maximum))),
        native=Expectation(f"{_COLUMN_VALUES}be_between", limits),
    )


def above(column: str, minimum: float) -> RowRule:
    """Ask for a number greater than `minimum`; null and NaN pass."""
    return RowRule(
        column=column,
        reason=f"{column} is not above {minimum:g}",
        holds=f"{column} is above {minimum:g}",
        needs=(column,),
        breaks=lambda table: _mask(pc.less_equal(table[column], minimum)),
    )


def one_of(column: str, values: tuple[str, ...]) -> RowRule:
    """Ask for one of some known words; null passes."""
    words = ", ".join(values)
    return RowRule(
        column=column,
        reason=f"{column} is not one of {words}",
        holds=f"{column} is one of {words}",
        needs=(column,),
        breaks=lambda table: _mask(_is_outside(table[column], pa.array(values, pa.string()))),
        native=Expectation(f"{_COLUMN_VALUES}be_in_set", {"column": column, "value_set": list(values)}),
    )


def not_equal(column: str, value: str, *, because: str) -> RowRule:
    """Refuse one word; null passes."""
    return RowRule(
        column=column,
        reason=f"{column} is {value}: {because}",
        holds=f"{column} is not {value}",
        needs=(column,),
        breaks=lambda table: _mask(pc.equal(table[column], value)),
        native=Expectation(f"{_COLUMN_VALUES}not_be_in_set", {"column": column, "value_set": [value]}),
    )


def known(column: str, ids: Column | None, *, table_name: str) -> tuple[RowRule, ...]:
    """Ask for an id that another table knows; no rule when its ids are not given, and null passes."""
    if ids is None:
        return ()
    known_ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    values = known_ids.cast(pa.string())
    rule = RowRule(
        column=column,
        reason=f"{column} is not in {table_name}",
        holds=f"{column} is in {table_name}",
        needs=(column,),
        breaks=lambda table: _mask(_is_outside(table[column], values)),
    )
    return (rule,)


def at_most_times(column: str, maximum: float, *, of: str) -> RowRule:
    """Ask for `column` of at most `maximum` times the column `of`; null and a zero `of` (not known) pass."""
    words = f"more than {maximum:g} times {of}"
    return RowRule(
        column=column,
        reason=f"{column} is {words}",
        holds=f"{column} is not {words}",
        needs=(column, of),
        breaks=lambda table: _mask(
            pc.and_(pc.greater(table[of], 0.0), pc.greater(table[column], pc.multiply(table[of], maximum)))
        ),
    )


def repeats(table: pa.Table, key: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which rows repeat the key of an earlier row, shape (R,); the first of equals is not among them.

    Rows whose key has a hash of its own repeat nothing, which is all rows of a clean table; the others are compared.
    """
    is_repeated = np.zeros(table.num_rows, np.bool_)
    suspects = _with_shared_hash(table, key)
    if suspects.size:
        is_repeated[suspects] = _repeats_exactly(table.select(key).take(pa.array(suspects)), key)
    return is_repeated


def _with_shared_hash(table: pa.Table, key: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the rows whose key has the same hash as another row's, shape (S,), ascending."""
    with connect() as connection:
        connection.register("keys", table.select(key))
        listed = ", ".join(f'"{column}"' for column in key)
        found = connection.execute(f"SELECT hash({listed}) AS h FROM keys").fetchnumpy()["h"]  # noqa: S608
    hashes: NDArray[np.uint64] = np.asarray(found, np.uint64)
    ordered = np.sort(hashes)
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not shared.size:
        return np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(shared, hashes), shared.size - 1)
    return np.flatnonzero(shared[places] == hashes)


def _repeats_exactly(table: pa.Table, key: tuple[str, ...]) -> NDArray[np.bool_]:
    codes = np.zeros(table.num_rows, np.int64)
    for column in key:
        encoded = table[column].combine_chunks().dictionary_encode(null_encoding="encode")
        column_codes = encoded.indices.to_numpy().astype(np.int64)
        _, codes = np.unique(codes * (column_codes.max(initial=0) + 1) + column_codes, return_inverse=True)
    _, first = np.unique(codes, return_index=True)
    is_repeated = np.ones(table.num_rows, np.bool_)
    is_repeated[first] = False
    return is_repeated


def _is_outside(values: Column, known_values: pa.Array) -> Column:
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=known_values)))


def _mask(values: Column) -> NDArray[np.bool_]:
    broken = pc.fill_null(values, False)  # noqa: FBT003 - pyarrow takes the value by position only
    mask: NDArray[np.bool_] = pa.chunked_array([broken] if isinstance(broken, pa.Array) else broken).to_numpy()
    return mask
