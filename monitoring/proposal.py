"""A first suite for a team's own data: what a profile of it suggests, as a plug-in module to read, edit and keep."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.conformity import Conformed, conform
from monitoring.expectations import suite_of
from monitoring.suite import Suite, ValidationContext
from recmodels.data.schema import TIMESTAMP
from recmodels.errors import DataError

_WORDS_MAXIMUM: Final = 20
_ROWS_A_WORD: Final = 10
_MARGIN: Final = 0.1
_NULL_SHARE: Final = 0.25


def propose(table: pa.Table, name: str) -> str:
    """Return the text of a module `monitoring/expectations/<name>.py` that the table itself passes.

    Columns without nulls are asked to stay so, numbers to stay within their range and a tenth of its width around it,
    and columns of at most 20 words to keep to these words. What a profile cannot know, such as which limits are laws
    and which are habits of this sample, is for the reader to decide.

    Args:
        table: R rows of the team's own data, in the columns of the contract.
        name: Table of the contract that it is.

    Raises:
        UnknownNameError: The contract has no such table.
        DataError: There are no rows, or a required column is missing or of a wrong type.
    """
    suite = suite_of(name, ValidationContext(as_of=datetime.fromtimestamp(0, UTC)))
    conformed = conform(table, suite.schema)
    wrong = [c.name for c in suite.schema if not c.nullable and c.name not in conformed.usable]
    if wrong:
        raise DataError(
            f"No suite can be proposed for {name!r}: {', '.join(wrong)} missing or of a wrong type. Map it."
        )
    if not table.num_rows:
        raise DataError(f"No suite can be proposed for {name!r}: the table has no rows. Give it the data to profile.")
    row_lines = [line for field in suite.schema for line in _row_rules(conformed.table[field.name], field)]
    table_lines = list(_table_rules(conformed, suite, name))
    return _module(name, table.num_rows, suite, row_lines, table_lines)


def _row_rules(column: pa.ChunkedArray, field: pa.Field) -> Iterator[str]:
    is_full = column.null_count == 0
    if column.null_count == len(column):
        return
    if pa.types.is_string(field.type):
        if is_full:
            yield f"*filled({field.name!r})"
        words = pc.unique(column).drop_null()
        if len(words) <= min(_WORDS_MAXIMUM, len(column) // _ROWS_A_WORD):
            yield f"one_of({field.name!r}, {tuple(sorted(words.to_pylist()))!r})"
    elif pa.types.is_floating(field.type):
        yield f"*number({field.name!r})" if is_full else f"finite({field.name!r})"
        yield from _range(column.filter(pc.is_finite(column)), field.name)
    else:
        if is_full:
            yield f"present({field.name!r})"
        if pa.types.is_integer(field.type):
            yield from _range(column, field.name)
        if field.name == TIMESTAMP:
            yield f"not_before({TIMESTAMP!r}, EPOCH)"
            yield f"not_after({TIMESTAMP!r}, context.latest)"


def _range(column: pa.ChunkedArray, name: str) -> Iterator[str]:
    if not len(column) - column.null_count:
        return
    limits = pc.min_max(column).as_py()
    low, high = float(limits["min"]), float(limits["max"])
    margin = _MARGIN * (high - low)
    lowest = max(0.0, low - margin) if low >= 0 else low - margin
    yield f"within({name!r}, {lowest:.6g}, {high + margin:.6g})" if margin else f"within({name!r}, {low!r}, {high!r})"


def _table_rules(conformed: Conformed, suite: Suite, name: str) -> Iterator[str]:
    yield "has_rows()"
    yield f"unique({', '.join(repr(column) for column in suite.key)})"
    if TIMESTAMP in suite.schema.names:
        yield f"fresh({TIMESTAMP!r}, context)"
        yield f"steady_volume({TIMESTAMP!r}, context, table_name={name!r})"
    for field in suite.schema:
        nulls = conformed.table[field.name].null_count
        if field.nullable and nulls <= _NULL_SHARE * conformed.table.num_rows:
            yield f"not_mostly_null({field.name!r}, context)"


def _module(name: str, rows: int, suite: Suite, row_lines: list[str], table_lines: list[str]) -> str:
    row_names = _used(row_lines)
    if any("EPOCH" in line for line in row_lines):
        row_names = ["EPOCH", *row_names]
    indent = "\n            "
    return f'''"""What is expected of `{name}`: proposed from a profile of {rows} rows, to be read and edited."""

from monitoring.row_rules import {", ".join(row_names)}
from monitoring.suite import Suite, ValidationContext
from monitoring.table_rules import {", ".join(_used(table_lines))}
from recmodels.data.schema import {name.upper()}


def suite(context: ValidationContext) -> Suite:
    """Return the expectations of `{name}`."""
    return Suite(
        schema={name.upper()},
        key={suite.key!r},
        rows=({indent}{indent.join(line + "," for line in row_lines)}
        ),
        table=({indent}{indent.join(line + "," for line in table_lines)}
        ),
        is_open={suite.is_open},
    )
'''


def _used(lines: list[str]) -> list[str]:
    return sorted({line.lstrip("*").split("(")[0] for line in lines})
