"""Table-level rules: the limits that they ask for, worked out by hand."""

from datetime import date, datetime, timedelta

import pyarrow as pa

from monitoring.suite import QualityConfig, Question, Unjudged, ValidationContext
from monitoring.table_rules import daily_rows, fresh, not_mostly_null, steady_volume
from recmodels.data.schema import TIMESTAMP_TYPE
from tests.monitoring.sample_tables import NOW, context

YESTERDAY = date(2026, 1, 9)


def _table(*moments: datetime) -> pa.Table:
    return pa.table({"timestamp": pa.array(moments, TIMESTAMP_TYPE)})


def _history(*rows: int) -> dict[date, int]:
    """Rows of the days before yesterday, the latest last."""
    return {YESTERDAY - timedelta(days=len(rows) - i): n for i, n in enumerate(rows)}


def _ask(table: pa.Table, given: ValidationContext) -> Question | Unjudged:
    return steady_volume("timestamp", given, table_name="interactions").asks(table)


def test_volume_is_bounded_by_half_the_smallest_and_thrice_the_largest_day_when_history_is_long_enough() -> None:
    history = {"interactions": _history(1000, 1200, 1400, 1000, 1100, 2000, 1301)}
    moments = [datetime.combine(YESTERDAY, NOW.timetz())] * 3 + [NOW]
    question = _ask(_table(*moments), context(daily_rows=history))
    assert isinstance(question, Question)
    assert question.expectation.kwargs == {"column": "row of 2026-01-09", "min_value": 500, "max_value": 6000}
    assert question.columns["row of 2026-01-09"].tolist() == [1, 1, 1, 0]


def test_volume_counts_what_the_lake_keeps_when_late_rows_join_a_day() -> None:
    history = {"interactions": {**_history(*[1000] * 7), YESTERDAY: 900}}
    yesterday = datetime.combine(YESTERDAY, NOW.timetz())
    given = context(daily_rows=history, kept_rows={"interactions": {YESTERDAY: 890}})
    question = _ask(_table(yesterday), given)
    # half of 1000 is 500, and 890 are there: even no further row is enough, and 3000 - 890 may come
    assert isinstance(question, Question)
    assert question.expectation.kwargs == {"column": "row of 2026-01-09", "min_value": 0, "max_value": 2110}
    assert question.expected.endswith("the newest complete day, 890 of which the lake has already")


def test_volume_counts_the_lake_alone_when_a_batch_has_no_row_of_the_day() -> None:
    history = {"interactions": {**_history(*[1000] * 7), YESTERDAY: 400}}
    question = _ask(_table(NOW), context(daily_rows=history))
    assert isinstance(question, Question)
    assert (question.expectation.kwargs["min_value"], question.expectation.kwargs["max_value"]) == (100, 2600)


def test_volume_counts_a_day_without_rows_as_zero_when_it_lies_within_the_history() -> None:
    rows = _history(2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000)
    del rows[YESTERDAY - timedelta(days=3)]
    question = _ask(_table(NOW), context(daily_rows={"interactions": rows}))
    assert isinstance(question, Question)
    assert question.expectation.kwargs["min_value"] == 0


def test_volume_forgets_days_when_they_are_older_than_the_window() -> None:
    rows = _history(1, *[1000] * 28)
    question = _ask(_table(NOW), context(daily_rows={"interactions": rows}))
    assert isinstance(question, Question)
    assert question.expectation.kwargs["min_value"] == 500


def test_volume_is_not_judged_when_history_is_short_or_small_or_missing() -> None:
    short = _ask(_table(NOW), context(daily_rows={"interactions": _history(*[5000] * 6)}))
    small = _ask(_table(NOW), context(daily_rows={"interactions": _history(*[999] * 7)}))
    assert short == Unjudged("its history has 6 days, fewer than 7")
    assert small == Unjudged("a median day has 999 rows, fewer than 1000")
    assert _ask(_table(NOW), context()) == Unjudged("there is no history before 2026-01-09")


def test_volume_reads_the_history_of_the_table_itself_when_the_lake_gives_none() -> None:
    moments = [NOW - timedelta(days=d, hours=1) for d in range(9) for _ in range(2)]
    question = _ask(_table(*moments), context(config=QualityConfig(volume_minimum_rows=2)))
    assert isinstance(question, Question)
    assert question.expectation.kwargs == {"column": "row of 2026-01-09", "min_value": 1, "max_value": 6}


def test_daily_rows_counts_utc_days_when_moments_lie_at_midnight() -> None:
    midnight = datetime.combine(YESTERDAY, NOW.timetz())
    table = _table(midnight, midnight + timedelta(hours=23), midnight - timedelta(microseconds=1))
    assert daily_rows(table, "timestamp") == {date(2026, 1, 8): 1, YESTERDAY: 2}


def test_fresh_asks_for_an_event_within_the_days_when_there_are_rows() -> None:
    rule = fresh("timestamp", context(config=QualityConfig(freshness_days=3)))
    question = rule.asks(_table(NOW))
    assert isinstance(question, Question)
    assert question.expectation.kwargs["min_value"] == NOW - timedelta(days=3)
    assert rule.asks(_table()) == Unjudged("there are no rows")


def test_null_share_is_not_judged_when_there_are_no_rows() -> None:
    assert not_mostly_null("timestamp", context()).asks(_table()) == Unjudged("there are no rows")
