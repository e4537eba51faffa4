"""The compiled form of every expectation against Great Expectations on pandas, on tables that nobody thought of."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from monitoring.checkpoint import Batch, Check, Checked, run_checks
from monitoring.compiled import has_form
from monitoring.compiled_scan import Files
from monitoring.suite import Expectation
from recmodels.data.schema import TIMESTAMP_TYPE

NOW = datetime(2026, 1, 10, tzinfo=UTC)
BLANK = r"^[ \t\r\n\f\v]*$"
SCHEMA = pa.schema(
    {
        "x": pa.float64(),
        "n": pa.int64(),
        "m": pa.int64(),
        "i": pa.int32(),
        "b": pa.bool_(),
        "s": pa.string(),
        "t": TIMESTAMP_TYPE,
        'odd "name"': pa.string(),
        "void": pa.float64(),
    }
)
ROWS = 8
WORDS = ["a", "b", "", " ", "\t\n", "é", "e\u0301", "日本", "it's", "a\n", "😀"]
MOMENTS = st.sampled_from([NOW + timedelta(days=d, microseconds=d) for d in range(-3, 4)])
FLOATS = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1e300, math.inf, -math.inf, math.nan])
FINITE = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])
INTEGERS = st.sampled_from([0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
SMALL = st.sampled_from([0, 1, -1, 2, 7])
SHARES = st.sampled_from([0.3, 0.5, 0.95, 1.0])
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "x": st.none() | FLOATS,
    "n": INTEGERS,
    "m": st.none() | SMALL,
    "i": SMALL,
    "b": st.none() | st.booleans(),
    "s": st.none() | st.sampled_from(WORDS),
    "t": st.none() | MOMENTS,
    'odd "name"': st.none() | st.sampled_from(WORDS),
    "void": st.none(),
}
COLUMNS = sorted(CELLS)
VALUES = "expect_column_values_to_"
TYPES = (
    *(f"{VALUES}{word}" for word in ("not_be_null", "be_null", "be_between", "be_in_set", "not_be_in_set")),
    *(f"{VALUES}{word}" for word in ("match_regex", "not_match_regex", "be_unique")),
    "expect_compound_columns_to_be_unique",
    *(f"expect_column_{word}_to_be_between" for word in ("max", "min", "sum", "mean", "unique_value_count")),
    "expect_table_row_count_to_be_between",
    "expect_table_columns_to_match_set",
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Up to eight rows; a column is all null as often as not, in the ones that may be."""
    rows = draw(st.integers(0, ROWS))
    columns = {name: draw(st.lists(cells, min_size=rows, max_size=rows)) for name, cells in CELLS.items()}
    for name in draw(st.sets(st.sampled_from(["x", "m", "b", "s", "t"]), max_size=2)):
        columns[name] = [None] * rows
    return pa.table(columns, schema=SCHEMA)


@st.composite
def bounds(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """One limit or two in order, strict or not."""
    low, high = sorted((draw(values), draw(values)))
    limits = draw(st.sampled_from([{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}]))
    return {**limits, **draw(st.sampled_from([{}, {"strict_min": True}, {"strict_max": True}]))}


@st.composite
def expectations(draw: st.DrawFn) -> tuple[Expectation, ...]:
    """One expectation of every type that has a form in SQL."""
    limits = {"x": FINITE, "n": SMALL, "m": SMALL, "i": SMALL, "t": MOMENTS, "void": FINITE}
    sets = {"s": st.sampled_from(WORDS), "b": st.booleans(), "n": INTEGERS, "m": SMALL, "x": FINITE}
    made: list[Expectation] = []
    for kind in TYPES:
        arguments: dict[str, Any] = {}
        if kind == f"{VALUES}be_between":
            column = draw(st.sampled_from(sorted(limits)))
            arguments = {"column": column, **draw(bounds(limits[column])), "mostly": draw(SHARES)}
        elif kind.endswith("_set") and "column_" in kind:
            column = draw(st.sampled_from(sorted(sets)))
            arguments = {"column": column, "value_set": draw(st.lists(sets[column], max_size=3)), "mostly": draw(SHARES)}
        elif kind.endswith("_regex"):
            pattern = draw(st.sampled_from([BLANK, "^a", "b$", "[ab]+", "^[a-c]$"]))
            arguments = {"column": draw(st.sampled_from(["s", 'odd "name"'])), "regex": pattern, "mostly": draw(SHARES)}
        elif kind == "expect_compound_columns_to_be_unique":
            arguments = {"column_list": draw(st.lists(st.sampled_from(COLUMNS), min_size=2, max_size=3, unique=True))}
        elif kind == "expect_table_columns_to_match_set":
            arguments = {"column_set": draw(st.lists(st.sampled_from([*COLUMNS, "z"]), min_size=1, unique=True))}
            arguments["exact_match"] = draw(st.booleans())
        elif kind.startswith(VALUES):
            arguments = {"column": draw(st.sampled_from(COLUMNS)), "mostly": draw(SHARES)}
        elif "unique" in kind or "row_count" in kind:
            arguments = {**draw(bounds(st.integers(0, ROWS)))}
            if "unique" in kind:
                arguments["column"] = draw(st.sampled_from(COLUMNS))
        else:
            of_times = ["t"] if kind.split("_")[2] in {"max", "min"} else []
            column = draw(st.sampled_from(["x", "m", "i", "void", *of_times]))
            arguments = {"column": column, **draw(bounds(limits[column]))}
        made.append(Expectation(kind, arguments))
    return tuple(made)


def batch(rows: pa.Table | Files, wanted: tuple[Expectation, ...], name: str = "t") -> Batch:
    checks = tuple(Check(e, str(e.kwargs.get("column", "")), "", "", stops=False) for e in wanted)
    return Batch(name, "rows", rows, checks)


def found(checked: Checked) -> list[dict[str, Any]]:
    """What was found for each check in the order of the checks, in words that both engines share."""
    results = json.loads(checked.record)["results"]
    results.sort(key=lambda one: one["expectation_config"]["meta"]["check"])
    return [_comparable(one) for one in results]


def _comparable(one: dict[str, Any]) -> dict[str, Any]:
    result = one["result"]
    assert not one["exception_info"].get("raised_exception"), one["exception_info"]
    counts = ("element_count", "unexpected_count", "missing_count", "unexpected_percent", "unexpected_percent_total")
    kept = {name: result[name] for name in counts if name in result}
    if "unique" not in one["expectation_config"]["type"]:  # repeated values come in another order
        kept["partial_unexpected_list"] = [_plain(value) for value in result.get("partial_unexpected_list", [])]
    return {"success": one["success"], "observed": _plain(result.get("observed_value")), **kept}


def _plain(value: Any) -> Any:
    """Write nothing, NaN and NaT as None, and numbers as floats."""
    if value in (None, "NaT") or (isinstance(value, float) and math.isnan(value)):
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@seed(20261121)
@settings(
    max_examples=25, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(table=tables(), wanted=expectations())
def test_compiled_verdicts_are_those_of_pandas_when_a_table_is_drawn(
    table: pa.Table, wanted: tuple[Expectation, ...]
) -> None:
    assert [e.type for e in wanted if not has_form(e, table.schema)] == []
    (compiled,) = run_checks([batch(table, wanted)], now=NOW, site=None)
    (pandas,) = run_checks([batch(table, wanted)], now=NOW, site=None, is_compiled=False)
    for expectation, ours, theirs in zip(wanted, found(compiled), found(pandas), strict=True):
        assert ours == theirs, expectation
