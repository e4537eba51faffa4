"""A first suite for a team's own data: what a profile of it suggests, as a plug-in module to read, edit and keep."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.conformity import Conformed, conform
from monitoring.expectations import suite_of
from monitoring.row_rules import at_most_times, known
from monitoring.suite import Column, QualityConfig, Suite, ValidationContext
from recmodels.data.schema import DURATION_SECONDS, ITEM_ID, TIMESTAMP, WATCH_SECONDS
from recmodels.errors import DataError

_WORDS_MAXIMUM: Final = 20
_ROWS_A_WORD: Final = 10
_MARGIN: Final = 0.1
_NULL_SHARE: Final = 0.25
_SEEN: Final = "  # seen "


def propose(table: pa.Table, name: str, *, item_ids: Column | None = None) -> str:
    """Return the text of a module `monitoring/expectations/<name>.py` that the table itself passes.

    Columns without nulls are asked to stay so, numbers to stay within their range and a tenth of its width around it,
    and columns of at most 20 words to keep to these words. What a profile cannot know, such as which limits are laws
    and which are habits of this sample, is for the reader to decide.

    Args:
        table: R rows of the team's own data, in the columns of the contract.
        name: Table of the contract that it is.
        item_ids: Known items; rows are asked to refer to known items where all of these do. None leaves it unasked.

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
    row_lines += _rules_between(conformed, name, item_ids)
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


def _rules_between(conformed: Conformed, name: str, item_ids: Column | None) -> list[str]:
    """Return the rules between columns, or with another table, that every row keeps."""
    table, lines = conformed.table, []
    if {WATCH_SECONDS, DURATION_SECONDS} <= conformed.usable and _has_values(table, WATCH_SECONDS, DURATION_SECONDS):
        ratio = at_most_times(WATCH_SECONDS, QualityConfig().watch_ratio_maximum, of=DURATION_SECONDS)
        if not ratio.breaks(table).any():
            limit = "context.config.watch_ratio_maximum"
            lines.append(f"at_most_times({WATCH_SECONDS!r}, {limit}, of={DURATION_SECONDS!r})")
    if item_ids is not None and name != "items" and ITEM_ID in conformed.usable:
        (is_known,) = known(ITEM_ID, item_ids, table_name="items")
        if not is_known.breaks(table).any():
            lines.append(f"*known({ITEM_ID!r}, context.item_ids, table_name='items')")
    return lines


def _has_values(table: pa.Table, *names: str) -> bool:
    return all(table[name].null_count < table.num_rows for name in names)


def _range(column: pa.ChunkedArray, name: str) -> Iterator[str]:
    if not len(column) - column.null_count:
        return
    limits = pc.min_max(column).as_py()
    low, high = float(limits["min"]), float(limits["max"])
    margin = _MARGIN * (high - low)
    lowest = max(0.0, low - margin) if low >= 0 else low - margin
    limits_line = f"{lowest:.6g}, {high + margin:.6g}" if margin else f"{low!r}, {high!r}"
    yield f"within({name!r}, {limits_line}){_SEEN}{low:.6g} to {high:.6g}"


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
        rows=({indent}{indent.join(map(_with_comma, row_lines))}
        ),
        table=({indent}{indent.join(map(_with_comma, table_lines))}
        ),
        is_open={suite.is_open},
    )
'''


def _with_comma(line: str) -> str:
    rule, _, seen = line.partition(_SEEN)
    return f"{rule},{_SEEN}{seen}" if seen else f"{rule},"


def _used(lines: list[str]) -> list[str]:
    return sorted({line.lstrip("*").split("(")[0] for line in lines})
