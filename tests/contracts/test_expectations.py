"""Every expectation suite that the folder holds: a valid table passes, and broken ones are answered."""

import math
from collections import Counter

import pyarrow as pa
import pytest

from monitoring.batches import prepare
from monitoring.checkpoint import run_checks
from monitoring.expectations import SUITES, suite_of
from monitoring.quality import validate_tables
from recmodels.data.schema import TABLES, TIMESTAMP_TYPE
from tests.monitoring.sample_tables import NOW, ROWS, context, sample, with_column

NAMES = SUITES.names()
IDS = pa.array([f"i{i}" for i in range(ROWS)])
FULL = context(
    item_ids=IDS,
    user_ids=pa.array([f"u{i}" for i in range(ROWS)]),
    request_ids=pa.array([f"r{i}" for i in range(ROWS)]),
    rating_range=(1.0, 5.0),
    label_columns=("rating",),
)


def _broken_everywhere(name: str) -> pa.Table:
    """Return valid rows in which every column is null, then odd, then extreme, one cell a row."""
    odd: dict[pa.DataType, list[object]] = {
        pa.string(): ["", "never heard of", "replay"],
        pa.float64(): [-1.0, 0.0, math.nan, math.inf, -math.inf, 1e9],
        pa.int32(): [-1],
        TIMESTAMP_TYPE: [NOW.replace(year=1960), NOW.replace(year=2030)],
    }
    cells = [(f.name, value) for f in TABLES[name] for value in (None, *odd.get(f.type, []))]
    return sample(name, {i: {column: value} for i, (column, value) in enumerate(cells)}, rows=len(cells) + 5)


def test_catalogue_holds_a_suite_for_every_table_when_it_is_not_the_quarantine() -> None:
    assert set(NAMES) == set(TABLES) - {"quarantine"}


def test_valid_tables_pass_whole_when_everything_is_known() -> None:
    reports = validate_tables({name: sample(name) for name in NAMES}, context=FULL)
    assert {n: (r.passed, r.good.num_rows, r.failures) for n, r in reports.items()} == dict.fromkeys(
        NAMES, (True, ROWS, ())
    )
    for name, report in reports.items():
        assert report.good.equals(sample(name).cast(TABLES[name]))


def test_empty_tables_are_stopped_when_they_have_the_right_columns() -> None:
    reports = validate_tables({name: TABLES[name].empty_table() for name in NAMES}, context=context())
    for name, report in reports.items():
        assert [f.expectation for f in report.failures] == ["expect_table_row_count_to_be_between"], name


@pytest.mark.parametrize("name", NAMES)
def test_great_expectations_counts_the_same_rows_when_each_rule_is_broken(name: str) -> None:
    table = _broken_everywhere(name)
    prepared = prepare(table, name=name, context=FULL)
    (checked,) = run_checks([b for b in prepared.batches if b.part == "rows"], now=NOW, site=None)
    found = {o.check.expected: o.unexpected for o in checked.outcomes if not o.check.stops}
    suite = suite_of(name, FULL)
    ours = {rule.holds: int(rule.breaks(table).sum()) for rule in suite.rows}
    assert min(ours.values()) > 0, ours
    assert {holds: n for holds, n in found.items() if holds in ours} == ours


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_column_is_named_when_it_is_required(name: str) -> None:
    for field in TABLES[name]:
        prepared = prepare(sample(name).drop_columns([field.name]), name=name, context=FULL)
        (schema_batch,) = [b for b in prepared.batches if b.part == "schema"]
        wanted = schema_batch.checks[0].expectation.kwargs["column_set"]
        assert isinstance(wanted, list)
        assert (field.name in wanted) is not field.nullable
        assert field.name not in schema_batch.rows.column_names


@pytest.mark.parametrize("name", NAMES)
def test_a_null_breaks_a_rule_when_its_column_is_required(name: str) -> None:
    for field in TABLES[name]:
        table = with_column(sample(name), field.name, pa.nulls(ROWS, field.type))
        prepared = prepare(table, name=name, context=context())
        assert (f"{field.name} is null" in prepared.reasons) is not field.nullable


@pytest.mark.parametrize("name", NAMES)
def test_rules_are_told_apart_when_great_expectations_keeps_one_of_a_type_for_a_column(name: str) -> None:
    for batch in prepare(sample(name), name=name, context=FULL).batches:
        kinds = Counter((c.expectation.type, str(c.expectation.kwargs.get("column"))) for c in batch.checks)
        assert max(kinds.values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_rules_use_columns_of_the_contract_when_they_are_declared(name: str) -> None:
    suite = suite_of(name, FULL)
    assert suite.schema == TABLES[name]
    needs = [*(rule.needs for rule in suite.rows), *(rule.needs for rule in suite.table), suite.key]
    assert {column for columns in needs for column in columns} <= set(suite.schema.names)
    reasons = [rule.reason for rule in suite.rows]
    assert len(set(reasons)) == len(reasons)
