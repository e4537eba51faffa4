"""Which metrics of Great Expectations have a form in SQL, and that form; every other one is left to its pandas engine.

A form is given only where DuckDB and pandas agree on every value: a column of a type that is not listed here, a bound
of another kind than the column, or a pattern that two engines could read differently has none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import pyarrow as pa

from monitoring.compiled_sql import (
    BOOLEAN,
    FLOAT,
    INTEGER,
    MOMENT,
    TEXT,
    matches,
    members,
    missing,
    outside,
    quoted,
    shown,
)
from monitoring.suite import Expectation

_METRICS: Final = {
    "expect_column_values_to_not_be_null": "column_values.nonnull",
    "expect_column_values_to_be_null": "column_values.null",
    "expect_column_values_to_be_between": "column_values.between",
    "expect_column_values_to_be_in_set": "column_values.in_set",
    "expect_column_values_to_not_be_in_set": "column_values.not_in_set",
    "expect_column_values_to_match_regex": "column_values.match_regex",
    "expect_column_values_to_not_match_regex": "column_values.not_match_regex",
    "expect_column_values_to_be_unique": "column_values.unique",
    "expect_compound_columns_to_be_unique": "compound_columns.unique",
    "expect_column_max_to_be_between": "column.max",
    "expect_column_min_to_be_between": "column.min",
    "expect_column_sum_to_be_between": "column.sum",
    "expect_column_mean_to_be_between": "column.mean",
    "expect_column_unique_value_count_to_be_between": "column.distinct_values.count",
}
_WITHOUT_COLUMNS: Final = frozenset({"expect_table_row_count_to_be_between", "expect_table_columns_to_match_set"})
_LEFT_TO_PANDAS: Final = ("row_condition", "condition_parser")


@dataclass(frozen=True)
class Condition:
    """Rows that are unexpected by themselves.

    Attributes:
        column: What is shown of such a row.
        family: Family of the column.
        unexpected: SQL that is true for them.
    """

    column: str
    family: str
    unexpected: str


@dataclass(frozen=True)
class Repetition:
    """Rows that are unexpected because another one has the same key.

    Attributes:
        columns: The key.
        families: Family of each of its columns.
        considered: SQL that is true for the rows that are compared.
    """

    columns: tuple[str, ...]
    families: tuple[str, ...]
    considered: str

    @property
    def keys(self) -> tuple[str, ...]:
        """SQL of each part of the key; NaN stands for null, as it does in pandas."""
        pairs = zip(self.columns, self.families, strict=True)
        return tuple(
            f"CASE WHEN isnan({quoted(c)}) THEN NULL ELSE {quoted(c)} END" if f == FLOAT else quoted(c)
            for c, f in pairs
        )


@dataclass(frozen=True)
class Figure:
    """One number or moment of a whole column.

    Attributes:
        sql: The aggregate.
        family: Family of its value.
    """

    sql: str
    family: str


Form: TypeAlias = Condition | Repetition | Figure


def has_form(expectation: Expectation, schema: pa.Schema) -> bool:
    """Return whether everything that an expectation asks of a table of this schema has a form in SQL."""
    if expectation.type in _WITHOUT_COLUMNS:
        return True
    metric = _METRICS.get(expectation.type)
    return metric is not None and form_of(metric, expectation.kwargs, schema) is not None


def form_of(metric: str, arguments: Mapping[str, object], schema: pa.Schema) -> Form | None:
    """Return the form of a metric, or None where pandas computes it.

    Args:
        metric: Name in Great Expectations without its ending, such as ``"column_values.between"``.
        arguments: Column or columns, and the metric's own arguments.
        schema: Columns of the table.
    """
    if any(arguments.get(name) is not None for name in _LEFT_TO_PANDAS):
        return None
    if metric == "compound_columns.unique":
        return _compound(arguments, schema)
    column = arguments.get("column")
    family = _family(schema, column)
    if not isinstance(column, str) or family is None:
        return None
    if metric.startswith("column_values."):
        return _map_form(metric.removeprefix("column_values."), column, family, arguments)
    return _figure(metric.removeprefix("column."), column, family)


def _map_form(metric: str, column: str, family: str, arguments: Mapping[str, object]) -> Form | None:
    is_missing = missing(column, family)
    if metric == "unique":
        return Repetition((column,), (family,), f"NOT ({is_missing})")
    if metric == "nonnull":
        return Condition(column, family, is_missing)
    if metric == "null":
        return Condition(column, family, f"NOT ({is_missing})")
    if metric == "between":
        unexpected = outside(column, family, arguments)
    elif metric in {"in_set", "not_in_set"}:
        unexpected = members(column, family, arguments.get("value_set"), is_wanted=metric == "in_set")
    elif metric in {"match_regex", "not_match_regex"}:
        unexpected = matches(column, family, arguments.get("regex"), is_wanted=metric == "match_regex")
    else:
        return None
    return None if unexpected is None else Condition(column, family, f"NOT ({is_missing}) AND {unexpected}")


def _compound(arguments: Mapping[str, object], schema: pa.Schema) -> Repetition | None:
    columns = arguments.get("column_list")
    if not isinstance(columns, Sequence) or isinstance(columns, str):
        return None
    families = [_family(schema, column) for column in columns]
    ignored = arguments.get("ignore_row_if", "all_values_are_missing")
    if ignored != "all_values_are_missing" or any(family is None for family in families):
        return None
    names, kinds = tuple(map(str, columns)), tuple(map(str, families))
    considered = " OR ".join(f"NOT ({missing(c, f)})" for c, f in zip(names, kinds, strict=True))
    return Repetition(names, kinds, considered)


def _figure(metric: str, column: str, family: str) -> Figure | None:
    name, filtered = quoted(column), f" FILTER (NOT ({missing(column, family)}))"
    if metric == "distinct_values.count":
        return Figure(f"count(DISTINCT {name}){filtered}", INTEGER)
    if metric in {"max", "min"} and family in {FLOAT, INTEGER, MOMENT}:
        return Figure(shown(f"{metric}({name}){filtered}", family), family)
    if metric in {"sum", "mean"} and family in {FLOAT, INTEGER}:
        call = f"coalesce(sum({name}){filtered}, 0)" if metric == "sum" else f"avg({name}){filtered}"
        return Figure(call, family if metric == "sum" else FLOAT)
    return None


def _family(schema: pa.Schema, column: object) -> str | None:
    if schema.names.count(column) != 1:
        return None
    kind = schema.field(column).type
    if kind == pa.float64():
        return FLOAT
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return INTEGER
    if pa.types.is_boolean(kind):
        return BOOLEAN
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT
    return MOMENT if pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz is not None else None
