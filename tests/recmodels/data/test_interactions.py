from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmodels.data.interactions import (
    as_utc,
    content_ids,
    deduplicate,
    fingerprint,
    normalise,
    positives,
    window,
)
from recmodels.data.schema import INTERACTIONS
from recmodels.errors import DataError
from recmodels.recipe import DataConfig
from tests.recmodels.data.tables import interactions

MOMENT = pa.array([datetime(2024, 3, 1, 12)], pa.timestamp("us"))


def raw(**columns: object) -> pa.Table:
    return pa.table({"user_id": [1], "item_id": ["x"], "timestamp": MOMENT, **columns})


def test_missing_columns_are_filled_when_normalised() -> None:
    row = normalise(raw(), source="test").to_pylist()[0]
    assert row["user_id"] == "1"
    assert row["timestamp"] == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert (row["surface"], row["origin"], row["liked"], row["rating"]) == ("video", "event", None, None)
    assert len(row["event_id"]) == 32


def test_the_schema_is_the_contracts() -> None:
    assert normalise(raw(rating=[3]), source="test").schema.equals(INTERACTIONS)


def test_normalising_twice_changes_nothing() -> None:
    once = normalise(raw(rating=[3], surface=["live"], event_id=["e1"]), source="test")
    assert once["event_id"].to_pylist() == ["e1"]
    assert normalise(once, source="test").equals(once)


def test_null_ids_pass_so_that_validation_can_quarantine_them() -> None:
    table = raw().set_column(0, "user_id", pa.array([None], pa.int64()))
    assert normalise(table, source="test")["user_id"].to_pylist() == [None]


def test_no_rows_normalise_to_no_rows() -> None:
    assert normalise(raw().slice(0, 0), source="test").num_rows == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            raw().drop_columns(["item_id"]),
            r"test: column 'item_id' is missing; the columns are \['user_id', 'timestamp'\]",
        ),
        (raw(watch_secs=[1.0]), r"test: column 'watch_secs' is not part of the contract.*watch_seconds"),
        (
            raw().set_column(2, "timestamp", pa.array([None], pa.timestamp("us"))),
            r"1 of 1 timestamps are null or not a number, first at data row 1",
        ),
        (raw(rating=["good"]), r"column 'rating' holds 'good' at data row 1"),
    ],
)
def test_a_table_is_refused_when_it_is_not_the_contracts(table: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        normalise(table, source="test")


def test_a_number_that_is_none_counts_as_missing_and_an_infinite_one_is_refused() -> None:
    assert normalise(raw(rating=[float("nan")]), source="test")["rating"].to_pylist() == [None]
    two = pa.concat_tables([raw(rating=[4.0]), raw(rating=[-float("inf")])])
    with pytest.raises(DataError, match=r"column 'rating' holds -inf at data row 2; expected a finite number.*empty"):
        normalise(two, source="test")


def test_ids_made_from_content_differ_when_any_value_does() -> None:
    table = pa.table({"a": ["1", "1", "11", None, "-"], "b": ["2", "2", "", "2", "2"]})
    ids = content_ids(table).to_pylist()
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_ids_made_from_content_do_not_depend_on_the_order_of_columns_or_rows() -> None:
    table = pa.table({"a": list("abcdef"), "b": range(6)})
    backwards = table.take(pa.array(range(5, -1, -1))).select(["b", "a"])
    assert content_ids(backwards).to_pylist() == content_ids(table).to_pylist()[::-1]


def test_a_repeated_event_is_kept_once_and_counted() -> None:
    table = interactions([("u", "a", 1), ("u", "b", 2), ("u", "a", 1), ("u", "a", 1)])
    found = deduplicate(table)
    assert found.dropped == 2
    assert found.table.equals(table.slice(0, 2))


def test_the_same_row_is_kept_whatever_the_order_when_one_id_has_two_contents() -> None:
    table = interactions([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)], event_id=["e", "e", "f"])
    kept = deduplicate(table).table
    other = deduplicate(table.take(pa.array([1, 2, 0]))).table
    assert kept.num_rows == other.num_rows == 2
    assert sorted(kept["item_id"].to_pylist()) == sorted(other["item_id"].to_pylist())


def test_rows_without_an_event_id_are_all_kept_for_validation() -> None:
    table = interactions([("u", "a", 1), ("u", "a", 1)], event_id=pa.array([None, None], pa.string()).to_pylist())
    assert deduplicate(table).dropped == 0


def test_the_fingerprint_does_not_depend_on_order_or_chunks() -> None:
    table = interactions([("u", str(n), n) for n in range(20)])
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(20)))
    chunked = pa.concat_tables([mixed.slice(0, 7), mixed.slice(7)])
    assert fingerprint(chunked) == fingerprint(table)
    assert len(fingerprint(table)) == 64


def test_the_fingerprint_differs_when_a_value_a_row_or_a_type_does() -> None:
    table = interactions([("u", "a", 1), ("u", "b", 2)])
    others = [
        interactions([("u", "a", 1), ("u", "b", 3)]),
        table.slice(0, 1),
        pa.concat_tables([table, table]),
        table.set_column(8, "rating", pa.nulls(2, pa.float32())),
        table.drop_columns(["query"]),
    ]
    assert len({fingerprint(other) for other in [table, *others]}) == 6


def test_threads_do_not_see_each_other_s_tables() -> None:
    tables = [interactions([("u", str(n), n) for n in range(size)]) for size in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fingerprint, tables * 4))
    assert found == [fingerprint(table) for table in tables] * 4


def test_a_window_holds_its_start_and_not_its_end() -> None:
    table = interactions([("u", "a", 10), ("u", "b", 20), ("u", "c", 30)])
    chosen = window(table, start=datetime(1970, 1, 1, 0, 0, 10), end=datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC))
    assert chosen["item_id"].to_pylist() == ["a", "b"]
    assert window(table, start=datetime(1970, 1, 1, 0, 0, 11))["item_id"].to_pylist() == ["b", "c"]


def test_a_window_is_refused_when_no_row_lies_in_it() -> None:
    table = interactions([("u", "a", 10), ("u", "b", 20)])
    with pytest.raises(DataError, match=r"the data has 2 rows from 1970-01-01 00:00:10.* to 1970-01-01 00:00:20"):
        window(table, start=datetime(2020, 1, 1))


def test_a_window_is_refused_when_there_is_no_row_at_all() -> None:
    with pytest.raises(DataError, match="the data has 0 rows"):
        window(interactions([]), start=datetime(2020, 1, 1))


def test_a_moment_without_a_zone_is_utc() -> None:
    assert as_utc(datetime(2024, 1, 1)) == datetime(2024, 1, 1, tzinfo=UTC)


def test_positives_are_sorted_by_user_then_time() -> None:
    table = interactions([("b", "1", 5), ("a", "2", 9), ("b", "3", 2), ("a", "4", 1)])
    assert positives(table, DataConfig())["item_id"].to_pylist() == ["4", "2", "3", "1"]


def test_ties_in_time_follow_the_hash_of_the_event_id() -> None:
    """MD5 of y, x, z begins with 41, 9d and fb, so neither the order of rows nor of ids decides."""
    table = interactions([("u", "X", 1), ("u", "Y", 1), ("u", "Z", 1)], event_id=["x", "y", "z"])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert positives(table.take(pa.array(order)), DataConfig())["item_id"].to_pylist() == ["Y", "X", "Z"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (DataConfig(), ["a", "b", "c", "d"]),
        (DataConfig(label="clicked"), ["a", "d"]),
        (DataConfig(label="rating", label_minimum=4), ["b", "c"]),
        (DataConfig(label="watch_seconds", label_minimum=10.5), ["d"]),
    ],
)
def test_the_label_decides_what_counts(data: DataConfig, expected: list[str]) -> None:
    table = interactions(
        [("u", item, second) for second, item in enumerate("abcd")],
        clicked=[True, False, None, True],
        rating=[3.5, 4, 5, None],
        watch_seconds=[10.0, 0.0, None, 10.5],
    )
    assert positives(table, data)["item_id"].to_pylist() == expected


def test_replayed_rows_and_rows_without_ids_never_count() -> None:
    table = interactions([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)], origin=["event", "replay", "synthetic"])
    assert positives(table, DataConfig())["item_id"].to_pylist() == ["a", "c"]
    nameless = table.set_column(1, "user_id", pa.array(["u", "u", None]))
    assert positives(nameless, DataConfig())["item_id"].to_pylist() == ["a"]


def test_an_item_that_was_shown_and_passed_over_is_no_choice_when_any_counts() -> None:
    shown = [datetime(2026, 1, 1, tzinfo=UTC)] * 3
    table = interactions(
        [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "d", 4)],
        exposed_at=[*shown, None],
        clicked=[True, False, None, False],
    )
    assert positives(table, DataConfig())["item_id"].to_pylist() == ["a", "c", "d"]


def test_a_label_is_refused_when_the_data_has_no_value_of_it() -> None:
    table = interactions([("u", "a", 1)], clicked=[True])
    with pytest.raises(DataError, match=r"label 'liked' has no value in 1 interactions.*: any, clicked\."):
        positives(table, DataConfig(label="liked"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 4)), max_size=30))
def test_positives_hold_the_same_rows_in_a_monotonic_order(rows: list[tuple[str, str, int]]) -> None:
    table = interactions(rows)
    found = positives(table, DataConfig())
    keys = list(zip(found["user_id"].to_pylist(), found["timestamp"].cast(pa.int64()).to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert sorted(found["event_id"].to_pylist()) == sorted(table["event_id"].to_pylist())
    assert pc.sum(found["timestamp"].cast(pa.int64())).as_py() == (
        sum(r[2] for r in rows) * 1_000_000 or (0 if rows else None)
    )
