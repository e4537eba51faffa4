"""Conversion of one column to the contract's type; a value that does not convert is named with its row."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from recmodels.data.schema import TIMESTAMP_TYPE
from recmodels.errors import DataError

Convert = Callable[[pa.ChunkedArray], pa.ChunkedArray]


def as_schema_column(column: pa.ChunkedArray, field: pa.Field, *, source: str) -> pa.ChunkedArray:
    """Convert a column to the type of `field`.

    Args:
        column: Values of any type that converts without loss: whole numbers or text for ids, 0 and 1 for feedback,
            dates, timestamps or ISO 8601 text (UTC unless they carry a zone) for times.
        field: The contract's name and type.
        source: Where the column comes from, for messages.

    A number that is not one (NaN) is a missing value, as in files that pandas wrote.

    Raises:
        DataError: A value does not convert or is infinite; the message names the column, the row and the value.
    """
    converted = _converted(column, field, source=source)
    if not pa.types.is_floating(field.type):
        return converted
    is_infinite = pc.is_inf(converted)
    if pc.any(is_infinite).as_py():
        row = pc.index(is_infinite, True).as_py()
        raise DataError(
            f"{source}: column {field.name!r} holds {converted[row].as_py()!r} at {describe_row(row)}; expected a "
            f"finite number, or none where it is not known. Correct the value or leave it empty."
        )
    return pc.if_else(pc.is_nan(converted), None, converted)


def _converted(column: pa.ChunkedArray, field: pa.Field, *, source: str) -> pa.ChunkedArray:
    if column.type == field.type:
        return column
    if pa.types.is_null(column.type):
        return column.cast(field.type)
    if pa.types.is_timestamp(field.type) and _is_text(column.type):
        return from_iso(column, name=field.name, source=source)
    return convert_column(column, _conversion(column, field, source=source), name=field.name, source=source)


def convert_column(
    column: pa.ChunkedArray, convert: Convert, *, name: str, source: str, expected: str = ""
) -> pa.ChunkedArray:
    """Convert a column, naming the first value that does not convert.

    Args:
        column: The values.
        convert: Raises `pyarrow.ArrowInvalid` when a value does not convert.
        name: The column's name, for messages.
        source: Where the column comes from, for messages.
        expected: What the values should be, for messages; the converted type otherwise.

    Raises:
        DataError: A value does not convert; the message names the column, the row and the value.
    """
    try:
        return convert(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        row = _first_failure(column, convert)
        wanted = expected or "a value that converts without loss"
        raise DataError(
            f"{source}: column {name!r} holds {column[row].as_py()!r} at {describe_row(row)}; "
            f"expected {wanted}. Correct the value or map another column to {name!r}. ({error})"
        ) from error


def as_number(column: pa.ChunkedArray, kind: pa.DataType, *, name: str, source: str) -> pa.ChunkedArray:
    """Convert text or numbers to numbers of `kind`; null stays null.

    Raises:
        DataError: A value is no such number; the message names the column, the row and the value.
    """
    expected = "a whole number" if pa.types.is_integer(kind) else "a number"
    return convert_column(column, lambda values: values.cast(kind), name=name, source=source, expected=expected)


def from_iso(column: pa.ChunkedArray, *, name: str, source: str) -> pa.ChunkedArray:
    """Read ISO 8601 text as UTC; without a zone it is UTC already, without a time it is midnight.

    Raises:
        DataError: A value is not ISO 8601; the message names the column, the row and the value.
    """
    expected = "ISO 8601 such as 2024-03-01T12:00:00Z"
    return convert_column(column, _parse_iso, name=name, source=source, expected=expected)


def describe_row(row: int) -> str:
    """Name a row for a message, counted from 1 after any header."""
    return f"data row {row + 1}"


def _conversion(column: pa.ChunkedArray, field: pa.Field, *, source: str) -> Convert:
    if pa.types.is_string(field.type):
        return _text_conversion(column, field, source=source)
    if pa.types.is_timestamp(field.type):
        return _time_conversion(column, field, source=source)
    if pa.types.is_boolean(field.type):
        return _to_boolean
    return lambda values: values.cast(field.type)


def _text_conversion(column: pa.ChunkedArray, field: pa.Field, *, source: str) -> Convert:
    kind = column.type
    if pa.types.is_floating(kind):
        raise DataError(
            f"{source}: column {field.name!r} has type {kind}; ids must be text or whole numbers, since 1.0 and 1 "
            f"would be two ids. Read or cast the column as whole numbers."
        )
    if pa.types.is_dictionary(kind):
        return lambda values: values.cast(kind.value_type).cast(pa.string())
    return lambda values: values.cast(pa.string())


def _time_conversion(column: pa.ChunkedArray, field: pa.Field, *, source: str) -> Convert:
    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise DataError(
            f"{source}: column {field.name!r} has type {kind}; expected timestamps or ISO 8601 text. Say what the "
            f"numbers are (seconds, milliseconds or microseconds) where the source is read."
        )
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return lambda values: values.cast(TIMESTAMP_TYPE, safe=False)
    return lambda values: values.cast(pa.timestamp("us"), safe=False).cast(TIMESTAMP_TYPE)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _parse_iso(values: pa.ChunkedArray) -> pa.ChunkedArray:
    texts = values.cast(pa.string())
    has_time = pc.match_substring_regex(texts, pattern=r"[T ]")
    has_zone = pc.match_substring_regex(texts, pattern=r"[T ].*(Z|[+-]\d{2}(:?\d{2})?)$")
    timed = pc.if_else(has_time, texts, pc.binary_join_element_wise(texts, "00:00:00", "T"))
    zoned = pc.if_else(has_zone, timed, pc.binary_join_element_wise(timed, "Z", ""))
    return zoned.cast(TIMESTAMP_TYPE)


def _to_boolean(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        is_other = pc.invert(pc.is_in(values, value_set=pa.array([0, 1, None], type=values.type)))
        if pc.any(is_other).as_py():
            raise pa.ArrowInvalid("a yes-or-no column holds a number other than 0 and 1")
    return values.cast(pa.bool_())


def _first_failure(column: pa.ChunkedArray, convert: Convert) -> int:
    """Find the first value that does not convert, by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            high = middle
        else:
            low = middle
    return low
