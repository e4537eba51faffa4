"""Row-level rules, each on a column made by hand: which rows break it."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from monitoring import row_rules
from monitoring.suite import RowRule
from recmodels.data.schema import TIMESTAMP_TYPE

NAN, INF = float("nan"), float("inf")
LIMIT = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = 1


def _times(*offsets: int | None) -> pa.Array:
    start = int(LIMIT.timestamp()) * 1_000_000
    return pa.array([None if o is None else start + o for o in offsets], pa.int64()).cast(TIMESTAMP_TYPE)


@pytest.mark.parametrize(
    ("rule", "values", "broken"),
    [
        (row_rules.present("x"), pa.array(["a", None, ""]), [False, True, False]),
        (row_rules.filled("x")[1], pa.array(["a", None, "", " \t", " a "]), [False, False, True, True, False]),
        (row_rules.not_after("x", LIMIT), _times(0, MICROSECOND, None, -1), [False, True, False, False]),
        (row_rules.not_before("x", LIMIT), _times(0, -MICROSECOND, None, 1), [False, True, False, False]),
        (row_rules.finite("x"), pa.array([0.0, NAN, INF, -INF, None]), [False, True, True, True, False]),
        (row_rules.at_least("x", 0), pa.array([0.0, -0.1, NAN, None, -INF]), [False, True, False, False, True]),
        (row_rules.within("x", 1, 5), pa.array([1.0, 5.0, 0.9, 5.1, None]), [False, False, True, True, False]),
        (row_rules.above("x", 0), pa.array([0.1, 0.0, -1.0, None, NAN]), [False, True, True, False, False]),
        (row_rules.one_of("x", ("ok", "no")), pa.array(["ok", "maybe", None]), [False, True, False]),
        (row_rules.not_equal("x", "no", because="no"), pa.array(["ok", "no", None]), [False, True, False]),
        (row_rules.known("x", pa.array(["a"]), table_name="t")[0], pa.array(["a", "b", None]), [False, True, False]),
    ],
    ids=lambda value: value.reason if isinstance(value, RowRule) else None,
)
def test_breaks_marks_exactly_the_broken_rows_when_values_lie_at_the_edges(
    rule: RowRule, values: pa.Array, broken: list[bool]
) -> None:
    table = pa.table({"x": values})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert rule.breaks(table).tolist() == broken
    assert rule.breaks(chunked).tolist() == broken


def test_breaks_spares_unknown_durations_when_watch_time_is_judged_against_them() -> None:
    rule = row_rules.at_most_times("watch", 100, of="duration")
    table = pa.table({"watch": [1000.0, 1000.1, 5.0, 5.0, None], "duration": [10.0, 10.0, 0.0, None, 1.0]})
    assert rule.breaks(table).tolist() == [False, True, False, False, False]


def test_known_gives_no_rule_when_the_ids_are_not_given() -> None:
    assert row_rules.known("x", None, table_name="items") == ()


def test_known_takes_chunked_ids_when_they_come_from_a_table() -> None:
    ids = pa.chunked_array([pa.array(["a"]), pa.array(["b"])])
    (rule,) = row_rules.known("x", ids, table_name="items")
    assert rule.breaks(pa.table({"x": ["b", "c"]})).tolist() == [False, True]


def test_repeats_keeps_the_first_row_of_a_key_when_it_comes_again() -> None:
    table = pa.table({"a": ["x", "y", "x", None, None, "y"], "b": [1, 1, 1, 1, 1, 2]})
    assert row_rules.repeats(table, ("a",)).tolist() == [False, False, True, False, True, True]
    assert row_rules.repeats(table, ("a", "b")).tolist() == [False, False, True, False, True, False]


def test_repeats_agrees_with_a_set_when_keys_are_drawn_at_random() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 30, 500), rng.integers(0, 30, 500)
    table = pa.table({"a": [f"a{i}" for i in first], "b": second})
    seen: set[tuple[int, int]] = set()
    expected = []
    for key in zip(first.tolist(), second.tolist(), strict=True):
        expected.append(key in seen)
        seen.add(key)
    assert row_rules.repeats(table, ("a", "b")).tolist() == expected


def test_repeats_is_empty_when_there_are_no_rows() -> None:
    assert row_rules.repeats(pa.table({"a": pa.array([], pa.string())}), ("a",)).tolist() == []
