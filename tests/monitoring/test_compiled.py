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
            arguments = {
                "column": column,
                "value_set": draw(st.lists(sets[column], max_size=3)),
                "mostly": draw(SHARES),
            }
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


DRAWN = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@seed(20261121)
@settings(DRAWN, max_examples=12)
@given(table=tables(), wanted=expectations())
def test_compiled_verdicts_are_those_of_pandas_when_a_table_is_drawn(
    table: pa.Table, wanted: tuple[Expectation, ...]
) -> None:
    _compare(table, wanted)


@pytest.mark.slow
@settings(DRAWN, max_examples=300)
@given(table=tables(), wanted=expectations())
def test_compiled_verdicts_are_those_of_pandas_when_many_tables_are_drawn(
    table: pa.Table, wanted: tuple[Expectation, ...]
) -> None:
    _compare(table, wanted)


def _compare(table: pa.Table, wanted: tuple[Expectation, ...]) -> None:
    assert [e.type for e in wanted if not has_form(e, table.schema)] == []
    (compiled,) = run_checks([batch(table, wanted)], now=NOW, site=None)
    (pandas,) = run_checks([batch(table, wanted)], now=NOW, site=None, is_compiled=False)
    for expectation, ours, theirs in zip(wanted, found(compiled), found(pandas), strict=True):
        assert ours == theirs, expectation


EDGES = pa.table(
    {
        "n": pa.array([2**53, 2**53 + 1, None], pa.int64()),
        "t": pa.array([2**62, -(2**62), 0], pa.int64()).cast(TIMESTAMP_TYPE),
        "s": ["é", None, " \n"],
        "f": pa.array([1.0, 2.0, 3.0], pa.float32()),
        "day": pa.array([NOW.date()] * 3),
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
)


def _one(rows: pa.Table | Files, kind: str, **arguments: Any) -> dict[str, Any]:
    (checked,) = run_checks([batch(rows, (Expectation(kind, arguments),))], now=NOW, site=None)
    (result,) = found(checked)
    return result


def test_large_numbers_are_told_apart_when_pandas_would_round_them() -> None:
    # with a null beside them pandas holds integers as floats, and calls both numbers 2**53
    assert _one(EDGES, f"{VALUES}be_unique", column="n")["unexpected_count"] == 0
    (pandas,) = run_checks(
        [batch(EDGES, (Expectation(f"{VALUES}be_unique", {"column": "n"}),))], now=NOW, site=None, is_compiled=False
    )
    assert found(pandas)[0]["unexpected_count"] == 2


def test_moments_are_shown_within_the_years_of_a_calendar_when_they_lie_beyond() -> None:
    result = _one(EDGES, f"{VALUES}be_between", column="t", max_value=NOW, min_value=NOW - timedelta(days=40_000))
    assert result["unexpected_count"] == 2
    assert result["partial_unexpected_list"] == ["9999-12-31T23:59:59.999999+00:00", "0001-01-01T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (f"{VALUES}be_between", {"column": "f", "min_value": 0}),
        (f"{VALUES}be_in_set", {"column": "s", "value_set": ["a", 1]}),
        (f"{VALUES}be_in_set", {"column": "s", "value_set": ["a", None]}),
        (f"{VALUES}be_in_set", {"column": "n", "value_set": [1.5]}),
        (f"{VALUES}be_between", {"column": "n", "min_value": 10**400}),
        (f"{VALUES}be_between", {"column": "n", "min_value": 2, "max_value": 1}),
        (f"{VALUES}be_between", {"column": "t", "min_value": NOW.replace(tzinfo=None)}),
        (f"{VALUES}match_regex", {"column": "s", "regex": r"^\w$"}),
        (f"{VALUES}match_regex", {"column": "s", "regex": "a|b"}),
        (f"{VALUES}match_regex", {"column": "s", "regex": "^[b-a]$"}),
        (f"{VALUES}not_be_null", {"column": "d"}),
        (f"{VALUES}not_be_null", {"column": "s", "row_condition": "n > 0", "condition_parser": "pandas"}),
        ("expect_column_median_to_be_between", {"column": "n", "min_value": 0}),
        ("expect_column_max_to_be_between", {"column": "s", "min_value": "a"}),
    ],
    ids=str,
)
def test_an_expectation_is_left_to_pandas_when_the_engines_could_differ(kind: str, arguments: dict[str, Any]) -> None:
    assert not has_form(Expectation(kind, arguments), EDGES.schema)


def test_pandas_answers_beside_the_scan_when_an_expectation_has_no_form() -> None:
    wanted = (
        Expectation("expect_column_median_to_be_between", {"column": "n", "min_value": 0}),
        Expectation(f"{VALUES}not_be_null", {"column": "s", "mostly": 0.5}),
        Expectation(f"{VALUES}be_in_set", {"column": "d", "value_set": ["x"]}),
    )
    (checked,) = run_checks([batch(EDGES, wanted)], now=NOW, site=None)
    median, nulls, words = found(checked)
    assert median["observed"] == 2**53
    assert (nulls["success"], nulls["unexpected_count"]) == (True, 1)
    assert (words["element_count"], words["unexpected_count"]) == (3, 1)


def test_files_give_the_verdicts_of_the_table_when_they_hold_its_rows(tmp_path: Path) -> None:
    rows = pa.table({"k": [1, 1, 2, 3, 3, 3], "s": ["a", "", None, "b", "c", "c"], "x": [0.5, math.nan, None, 1, 2, 3]})
    paths = []
    for number, part in enumerate((rows.slice(0, 2), rows.slice(2))):
        paths.append(str(tmp_path / f"part [{number}].parquet"))
        pq.write_table(part, paths[-1])
    wanted = (
        Expectation(f"{VALUES}be_unique", {"column": "k"}),
        Expectation("expect_compound_columns_to_be_unique", {"column_list": ["k", "s"]}),
        Expectation(f"{VALUES}not_match_regex", {"column": "s", "regex": BLANK}),
        Expectation("expect_column_sum_to_be_between", {"column": "x", "max_value": 6}),
        Expectation("expect_column_median_to_be_between", {"column": "x", "max_value": 6}),
        Expectation("expect_table_row_count_to_be_between", {"min_value": 7}),
    )
    (here,) = run_checks([batch(rows, wanted)], now=NOW, site=None)
    (there,) = run_checks([batch(Files(tuple(paths)), wanted)], now=NOW, site=None)
    assert found(there) == found(here)
    assert [one.get("unexpected_count", one["observed"]) for one in found(here)] == [5, 2, 1, 6.5, 1.5, 6.0]


def test_repeated_values_are_shown_as_often_as_they_stand_when_they_are_few() -> None:
    rows = pa.table({"k": [3, 1, 1, 3, 3, 2], "t": pa.array([NOW] * 6, TIMESTAMP_TYPE)})
    wanted = (
        Expectation(f"{VALUES}be_unique", {"column": "k"}),
        Expectation("expect_compound_columns_to_be_unique", {"column_list": ["k", "t"]}),
    )
    (checked,) = run_checks([batch(rows, wanted)], now=NOW, site=None)
    results = {r["expectation_config"]["type"]: r["result"] for r in json.loads(checked.record)["results"]}
    assert results[f"{VALUES}be_unique"]["partial_unexpected_list"] == [1, 1, 3, 3, 3]
    shown = results["expect_compound_columns_to_be_unique"]["partial_unexpected_list"]
    assert shown[0] == {"k": 1, "t": NOW.isoformat()}


def test_data_docs_show_what_the_scan_found(tmp_path: Path) -> None:
    wanted = (Expectation(f"{VALUES}be_in_set", {"column": "s", "value_set": ["never"], "mostly": 0.9}),)
    (checked,) = run_checks([batch(EDGES, wanted)], now=NOW, site=tmp_path / "site")
    assert isinstance(checked, Checked)
    (page,) = (tmp_path / "site" / "validations").rglob("*.html")
    text = page.read_text()
    assert "é" in text
    assert "100%" in text
