"""The vocabulary of table-level rules: what makes a whole table unfit to train on."""

from datetime import UTC, date, timedelta
from statistics import median
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.suite import Expectation, Question, TableRule, Unjudged, ValidationContext

_DAY_MICROSECONDS: Final = 86_400_000_000
_EPOCH_DAY: Final = date(1970, 1, 1)


def has_rows() -> TableRule:
    """Ask for at least one good row."""
    question = Question(
        Expectation("expect_table_row_count_to_be_between", {"min_value": 1}), expected="at least 1 good row"
    )
    return TableRule(
        name="row count",
        column="",
        needs=(),
        asks=lambda _: question,
        advice="Check that the source and the dates asked for hold data, and what the quarantine says.",
    )


def unique(*columns: str) -> TableRule:
    """Ask that no two good rows share a key."""
    if len(columns) == 1:
        expectation = Expectation("expect_column_values_to_be_unique", {"column": columns[0]})
    else:
        expectation = Expectation("expect_compound_columns_to_be_unique", {"column_list": list(columns)})
    question = Question(expectation, expected=f"no two rows with the same {' and '.join(columns)}")
    return TableRule(
        name="uniqueness",
        column=columns[0],
        needs=columns,
        asks=lambda _: question,
        advice="Deduplicate the source by this key.",
    )


def fresh(column: str, context: ValidationContext) -> TableRule:
    """Ask that the newest event is recent at `as_of`."""
    oldest = context.oldest_newest
    limits = {"column": column, "min_value": oldest}
    question = Question(
        Expectation("expect_column_max_to_be_between", limits),
        expected=f"at least one event since {oldest.isoformat(timespec='seconds')}",
    )
    return TableRule(
        name="freshness",
        column=column,
        needs=(column,),
        asks=lambda table: question if table.num_rows else Unjudged("there are no rows"),
        advice="Check that events still arrive; raise freshness_days if the source delivers less often.",
    )


def not_mostly_null(column: str, context: ValidationContext) -> TableRule:
    """Ask that a column which the run depends on has values."""
    maximum = context.config.null_share_maximum
    arguments = {"column": column, "mostly": 1 - maximum}
    question = Question(
        Expectation("expect_column_values_to_not_be_null", arguments), expected=f"at most {maximum:.0%} nulls"
    )
    return TableRule(
        name="null share",
        column=column,
        needs=(column,),
        asks=lambda table: question if table.num_rows else Unjudged("there are no rows"),
        advice="Check the mapping of this column, or choose a label that the data has.",
    )


def labelled(context: ValidationContext, schema: pa.Schema) -> tuple[TableRule, ...]:
    """Ask that the run's label columns, as far as they are of this table, are not mostly null."""
    return tuple(not_mostly_null(column, context) for column in context.label_columns if column in schema.names)


def steady_volume(column: str, context: ValidationContext, *, table_name: str) -> TableRule:
    """Ask that the newest complete day has about as many rows as the days before it.

    The day is compared with the smallest and the largest of the recent days, so that a week's rhythm is no alarm; only
    a day far outside of them, such as half an export or one delivered twice over, stops the lifecycle.
    """
    day = context.as_of.astimezone(UTC).date() - timedelta(days=1)
    history, kept = context.daily_rows.get(table_name, {}), context.kept_rows.get(table_name, {})

    def asks(table: pa.Table) -> Question | Unjudged:
        table_days = _days(table, column)
        own = _rows_by_day(table_days)
        limits = _volume_limits({**history, **{d: n + kept.get(d, 0) for d, n in own.items()}}, day, context)
        if isinstance(limits, Unjudged):
            return limits
        name, here = f"row of {day.isoformat()}", kept.get(day, 0) if day in own else history.get(day, 0)
        low, high = limits
        beside = f", {here} of which the lake has already" if here else ""
        return Question(
            Expectation(
                "expect_column_sum_to_be_between",
                {"column": name, "min_value": max(0, low - here), "max_value": max(0, high - here)},
            ),
            expected=f"{low} to {high} rows on {day.isoformat()}, the newest complete day{beside}",
            columns={name: (table_days == (day - _EPOCH_DAY).days).astype(np.int8)},
        )

    return TableRule(
        name="row volume",
        column=column,
        needs=(column,),
        asks=asks,
        advice="Check that the day was delivered whole and once, then ingest it again: its window is replaced.",
    )


def daily_rows(table: pa.Table, column: str) -> dict[date, int]:
    """Count the rows of each UTC day that has any."""
    return _rows_by_day(_days(table, column))


def _rows_by_day(days: NDArray[np.int64]) -> dict[date, int]:
    distinct, counts = np.unique(days, return_counts=True)
    return {_EPOCH_DAY + timedelta(days=int(d)): int(n) for d, n in zip(distinct, counts, strict=True)}


def _volume_limits(daily: dict[date, int], day: date, context: ValidationContext) -> tuple[int, int] | Unjudged:
    config = context.config
    past = [d for d in daily if d < day]
    if not past:
        return Unjudged(f"there is no history before {day.isoformat()}")
    start = max(min(past), day - timedelta(days=config.volume_days))
    recent = [daily.get(start + timedelta(days=i), 0) for i in range((day - start).days)]
    if len(recent) < config.volume_minimum_days:
        return Unjudged(f"its history has {len(recent)} days, fewer than {config.volume_minimum_days}")
    if median(recent) < config.volume_minimum_rows:
        return Unjudged(f"a median day has {median(recent):g} rows, fewer than {config.volume_minimum_rows}")
    return int(config.volume_low * min(recent)), int(config.volume_high * max(recent))


def _days(table: pa.Table, column: str) -> NDArray[np.int64]:
    microseconds = pc.cast(table[column], pa.int64()).to_numpy()
    days: NDArray[np.int64] = microseconds // _DAY_MICROSECONDS
    return days
