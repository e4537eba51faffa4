"""Whole validations through Great Expectations: verdicts, messages, and what happens to the rows."""

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from monitoring.quality import QualityConfig, ValidationContext, ValidationReport, require, validate, validate_tables
from recmodels.data.schema import INTERACTIONS
from recmodels.errors import UnknownNameError, ValidationFailedError
from tests.monitoring.sample_tables import NOW, ROWS, context, sample, with_column

Reports = dict[str, ValidationReport]
TABLE = sample("interactions")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    tables = {
        "interactions": sample("interactions", {3: {"item_id": "i7"}, 4: {"watch_seconds": -1.0}}),
        "items": sample("items", {7: {"safety": "unheard"}}),
        "users": sample("users").append_column("gender", pa.array(["f"] * ROWS)),
    }
    return validate_tables(tables, context=context(), docs_folder=tmp_path_factory.mktemp("docs"))


def test_reports_come_in_the_order_of_the_tables_when_items_are_validated_first(reports: Reports) -> None:
    assert list(reports) == ["interactions", "items", "users"]
    assert [report.rows for report in reports.values()] == [ROWS] * 3


def test_rows_go_to_quarantine_and_the_others_on_when_few_are_broken(reports: Reports) -> None:
    items = reports["items"]
    assert items.passed
    assert items.good.num_rows == ROWS - 1
    assert items.reasons == {"safety is not one of ok, restricted, blocked, unlabelled": 1}
    assert [w.message for w in items.warnings] == [
        "items.safety: 1 of 40 rows quarantined: safety is not one of ok, restricted, blocked, unlabelled."
    ]


def test_rows_may_refer_to_good_items_only_when_both_tables_are_given(reports: Reports) -> None:
    # row 3 was pointed at item 7, which is broken; row 7 refers to it too
    assert reports["interactions"].reasons == {"item_id is not in items": 2, "watch_seconds is negative": 1}


def test_validation_stops_when_the_quarantined_share_is_above_its_limit(reports: Reports) -> None:
    report = reports["interactions"]  # 3 of 40 rows are 7.5 %
    assert not report.passed
    (failure,) = report.failures
    assert failure.message == (
        "interactions: expected at most 5.0% of the rows quarantined, observed 7.5% of 40: "
        "watch_seconds is negative (1); item_id is not in items (2). "
        "Look into the quarantine and repair the source, or raise quarantined_share_maximum."
    )
    with pytest.raises(ValidationFailedError, match="'interactions' may not be trained on") as error:
        require(report)
    assert failure.message in str(error.value)
    assert str(report.docs) in str(error.value)


def test_further_columns_stay_without_a_warning_when_they_are_attributes_of_users(reports: Reports) -> None:
    assert reports["users"].good["gender"].to_pylist() == ["f"] * ROWS
    assert reports["users"].warnings == ()
    require(reports["users"])


def test_validation_stops_and_says_what_was_seen_when_a_table_level_rule_is_broken() -> None:
    days = {date(2026, 1, 9) - timedelta(days=d): 2000 for d in range(1, 9)}
    old = pa.array([NOW - timedelta(days=3)] * ROWS, TABLE.schema.field("timestamp").type)
    table = with_column(with_column(TABLE, "timestamp", old), "rating", pa.nulls(ROWS, pa.float64()))
    given = context(daily_rows={"interactions": days}, label_columns=("rating",))
    report = validate(table, name="interactions", context=given)
    assert report.good.num_rows == ROWS
    assert report.docs is None
    assert [(f.column, f.expectation) for f in report.failures] == [
        ("timestamp", "expect_column_max_to_be_between"),
        ("timestamp", "expect_column_sum_to_be_between"),
        ("rating", "expect_column_values_to_not_be_null"),
    ]
    fresh, volume, nulls = report.failures
    assert (fresh.expected, fresh.observed) == (
        "at least one event since 2026-01-08T00:00:00+00:00",
        "2026-01-07T00:00:00+00:00",
    )
    # the days of the table itself replace those of the history: 2026-01-07 has 40 rows, not 2000
    assert (volume.expected, volume.observed) == ("20 to 6000 rows on 2026-01-09, the newest complete day", "0")
    assert (nulls.expected, nulls.observed) == ("at most 50% nulls", "40 of 40")


OUTCOMES = sample("outcomes")
TIMESTAMP = OUTCOMES.schema.field("timestamp").type


@pytest.mark.parametrize(
    ("table", "message", "good"),
    [
        (OUTCOMES.slice(0, 0), "outcomes: expected at least 1 good row, observed 0. Check that the source", 0),
        (OUTCOMES.drop_columns(["item_id"]), "timestamp, observed no item_id. Map the missing column", ROWS),
        (pa.table({}), "observed no event_id, item_id, kind, request_id, timestamp, value.", 0),
        (
            with_column(OUTCOMES, "item_id", pa.nulls(ROWS, pa.string())),
            "observed 100.0% of 40: item_id is null (all).",
            0,
        ),
        (
            with_column(OUTCOMES, "item_id", pa.nulls(ROWS)),
            "outcomes.item_id: expected the type string, observed null. A column of type null holds no value",
            ROWS,
        ),
        (
            with_column(OUTCOMES, "value", pa.array(["5 s"] * ROWS)),
            "outcomes.value: expected the type double, observed string. Convert the column",
            ROWS,
        ),
        (
            # milliseconds taken for seconds: the year 57,995, which Python's datetime cannot hold
            with_column(OUTCOMES, "timestamp", pa.array([1_768_000_000 * 10**9] * ROWS).cast(TIMESTAMP)),
            "observed 100.0% of 40: timestamp is in the future (all).",
            0,
        ),
    ],
    ids=["empty", "missing-column", "no-columns", "null-column", "null-type", "wrong-type", "wrong-unit"],
)
def test_validation_stops_with_its_own_message_when_a_table_is_unusable(
    table: pa.Table, message: str, good: int
) -> None:
    report = validate(table, name="outcomes", context=context())
    assert not report.passed
    assert any(message in failure.message for failure in report.failures), report.failures
    assert report.good.num_rows == good
    assert report.good.num_rows + report.quarantined.num_rows == table.num_rows


def test_references_are_not_judged_when_the_other_table_is_of_another_schema() -> None:
    items = with_column(sample("items"), "item_id", pa.array([["i1"]] * ROWS))
    reports = validate_tables({"items": items, "interactions": sample("interactions")}, context=context())
    assert [f.message for f in reports["items"].failures if f.column == "item_id"] == [
        "items.item_id: expected the type string, observed list<item: string>. "
        "Convert the column where the source is read."
    ]
    assert reports["interactions"].passed


def test_columns_are_named_in_a_warning_when_they_are_absent_or_unknown() -> None:
    table = TABLE.drop_columns(["query", "liked"]).append_column("day", TABLE["surface"])
    report = validate(table, name="interactions", context=context())
    assert report.passed
    assert report.good.schema == INTERACTIONS
    assert [w.message for w in report.warnings] == [
        "interactions: not given, filled with null: query, liked.",
        "interactions: no part of the contract, left out: day.",
        "interactions.timestamp: row volume was not judged: there is no history before 2026-01-09.",
    ]


def test_limits_are_the_callers_when_a_config_is_given() -> None:
    table = sample("interactions", {0: {"watch_seconds": 31.0}, 1: {"watch_seconds": math.nan}})
    strict = context(config=QualityConfig(watch_ratio_maximum=3, quarantined_share_maximum=0.05))
    report = validate(table, name="interactions", context=strict)
    assert report.passed  # 2 of 40 rows are exactly 5 %
    assert report.quarantined.num_rows == 2
    with pytest.raises(ValueError, match="quarantined_share_maximum"):
        QualityConfig(quarantined_share_maximum=1.5)


def test_validation_refuses_a_name_when_no_suite_has_it() -> None:
    with pytest.raises(UnknownNameError, match=r"'interaction' is not known\. Did you mean 'interactions'"):
        validate(TABLE, name="interaction", context=context())


def test_context_refuses_a_moment_when_it_has_no_time_zone() -> None:
    with pytest.raises(ValueError, match="must carry a time zone"):
        ValidationContext(as_of=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="must carry a time zone"):
        ValidationContext(as_of=datetime(2026, 1, 1, tzinfo=UTC), now=datetime(2026, 1, 1))


def test_real_data_passes_whole_when_it_is_movielens(shared_data: Path) -> None:
    from recmodels.data.sources.movielens import read

    tables = read(shared_data / "ml_latest_small")
    newest = max(tables.interactions["timestamp"].to_pylist())
    given = ValidationContext(as_of=newest, rating_range=(0.5, 5.0), label_columns=("rating",))
    report = validate_tables({"items": tables.items, "interactions": tables.interactions}, context=given)
    assert {name: (r.passed, r.quarantined.num_rows) for name, r in report.items()} == {
        "items": (True, 0),
        "interactions": (True, 0),
    }
