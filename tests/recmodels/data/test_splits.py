from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmodels.data.splits import Queries, Split, refit_histories, split_interactions
from recmodels.data.vocabulary import UNKNOWN
from recmodels.errors import DataError, SplitError
from recmodels.recipe import DataConfig, SplitConfig
from tests.recmodels.data.tables import Row, interactions, items_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAVE_ONE_OUT = SplitConfig(kind="leave_one_out")
ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz"), st.integers(0, 12)), min_size=4, max_size=40
)


def divide(
    rows: list[Row], split: SplitConfig | None = None, data: DataConfig | None = None, *, is_order_only: bool = False
) -> Split:
    table = interactions(rows)
    return split_interactions(
        table, items_of(table), data=data or DataConfig(), split=split or SplitConfig(), is_order_only=is_order_only
    )


def at(validation: int, test: int) -> SplitConfig:
    return SplitConfig(validation_from=EPOCH + timedelta(seconds=validation), test_from=EPOCH + timedelta(seconds=test))


def readable(split: Split, queries: Queries) -> list[tuple[str, list[str], list[str]]]:
    names = split.vocabulary.decode
    return [
        (str(user), names(queries.histories.row(q)).tolist(), sorted(names(queries.targets.row(q)).tolist()))
        for q, user in enumerate(queries.user_ids)
    ]


HAND = [
    ("a", "x", 1), ("b", "y", 2), ("a", "y", 3), ("c", "x", 4),  # training
    ("a", "z", 5), ("b", "x", 5), ("a", "x", 6),                 # validation
    ("a", "y", 8), ("a", "z", 8), ("d", "x", 8), ("d", "y", 9),  # test
]  # fmt: skip


def test_parts_are_cut_at_the_two_moments() -> None:
    split = divide(HAND, at(5, 8))
    assert dict(zip(split.train_user_ids.tolist(), split.train.lengths.tolist(), strict=True)) == {
        "a": 2,
        "b": 1,
        "c": 1,
    }
    assert readable(split, split.validation) == [
        ("a", ["x", "y"], ["<unknown>"]),
        ("a", ["x", "y"], ["x"]),
        ("b", ["y"], ["x"]),
    ]
    assert readable(split, split.test) == [
        ("a", ["x", "y", "x"], ["<unknown>", "y"]),
        ("d", [], ["x"]),
        ("d", ["x"], ["y"]),
    ]


def test_moments_are_half_open_and_end_after_the_last_event() -> None:
    split = divide(HAND, at(5, 8))
    assert split.train_until == EPOCH + timedelta(seconds=5)
    assert split.validation_until == EPOCH + timedelta(seconds=8)
    assert split.test_until == EPOCH + timedelta(seconds=9, microseconds=1)


def test_the_catalogue_is_what_the_training_part_has_and_misses_are_counted() -> None:
    split = divide(HAND, at(5, 8))
    assert sorted(split.vocabulary.ids.tolist()) == ["x", "y"]
    assert (split.validation.unknown_targets, split.test.unknown_targets) == (1, 1)
    assert split.item_counts.tolist() == [0, 0, 2, 2]


def test_items_need_the_smallest_number_of_training_interactions() -> None:
    rows = [*HAND, ("e", "x", 1)]
    split = divide(rows, at(5, 8), DataConfig(minimum_item_interactions=3))
    assert split.vocabulary.ids.tolist() == ["x"]
    assert split.train_user_ids.tolist() == ["a", "c", "e"]
    assert split.item_counts.tolist() == [0, 0, 3]


def test_new_users_are_those_without_a_training_event() -> None:
    split = divide(HAND, at(5, 8))
    assert split.test.is_new_user.tolist() == [False, True, True]


def test_a_user_known_only_by_items_outside_the_catalogue_is_not_new() -> None:
    rows = [*HAND, ("d", "rare", 1), ("a", "x", 2), ("b", "y", 3)]
    split = divide(rows, at(5, 8), DataConfig(minimum_item_interactions=2))
    assert split.test.is_new_user.tolist() == [False, False, False]
    assert "d" not in split.train_user_ids.tolist()


def test_items_are_aligned_with_the_vocabulary() -> None:
    table = interactions(HAND)
    split = split_interactions(table, items_of(table), data=DataConfig(), split=at(5, 8))
    assert split.items["item_id"].to_pylist() == split.vocabulary.ids.tolist()


def test_shares_count_all_interactions_so_that_labels_share_their_cuts() -> None:
    rows = [("a", str(n % 5), n) for n in range(100)]
    table = interactions(rows, clicked=[n % 2 == 0 for n in range(100)])
    for label in ("any", "clicked"):
        split = split_interactions(
            table,
            items_of(table),
            data=DataConfig(label=label, maximum_repeats=100),  # type: ignore[arg-type]
            split=SplitConfig(),
        )
        assert split.train_until == EPOCH + timedelta(seconds=70)
        assert split.validation_until == EPOCH + timedelta(seconds=80)
    assert (len(split.train.items), len(split.validation), len(split.test)) == (35, 5, 10)


def test_replayed_rows_do_not_move_the_cuts() -> None:
    rows = [("a", str(n % 5), n) for n in range(100)] + [("r", "0", 500 + n) for n in range(50)]
    table = interactions(rows, origin=["event"] * 100 + ["replay"] * 50)
    split = split_interactions(table, items_of(table), data=DataConfig(), split=SplitConfig())
    assert split.train_until == EPOCH + timedelta(seconds=70)
    assert split.test_until == EPOCH + timedelta(seconds=99, microseconds=1)
    assert "r" not in split.test.user_ids.tolist()


def test_tied_timestamps_fall_together_into_the_later_part() -> None:
    rows = [("a", str(n % 3), min(n, 65) if n < 75 else n) for n in range(100)]
    split = divide(rows, data=DataConfig(maximum_repeats=100))
    assert split.train_until == EPOCH + timedelta(seconds=65)
    assert len(split.train.items) == 65
    assert split.validation.targets.lengths.tolist()[0] == 10


def test_the_surface_of_a_query_is_that_of_its_events() -> None:
    table = interactions([("a", "x", n) for n in range(10)], surface=["video"] * 8 + ["live", "search"])
    split = split_interactions(table, items_of(table), data=DataConfig(), split=SplitConfig())
    assert split.test.surfaces.tolist() == ["live", "search"]


def test_training_arrays_hold_nothing_later_than_the_cut() -> None:
    split = divide(HAND, at(5, 8))
    assert split.train.timestamps.max() < 5_000_000
    assert len(split.train.items) == 4


def test_leave_one_out_takes_the_last_two_events_of_users_with_three() -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "x", 3), ("b", "y", 1), ("b", "x", 9), ("c", "y", 4)]
    split = divide(rows, LEAVE_ONE_OUT)
    assert readable(split, split.validation) == [("a", ["x"], ["y"])]
    assert readable(split, split.test) == [("a", ["x", "y"], ["x"])]
    assert dict(zip(split.train_user_ids.tolist(), split.train.lengths.tolist(), strict=True)) == {
        "a": 1,
        "b": 2,
        "c": 1,
    }
    assert not split.test.is_new_user.any()


def test_leave_one_out_marks_order_only_data() -> None:
    split = divide([("a", item, n) for n, item in enumerate("xyxy")], LEAVE_ONE_OUT, is_order_only=True)
    assert split.is_order_only
    assert split.test.is_order_only
    assert split.validation.is_order_only


def test_a_time_split_is_refused_when_there_are_only_positions() -> None:
    with pytest.raises(SplitError, match=r"knows only the order.*split\.kind=leave_one_out"):
        divide(HAND, is_order_only=True)


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        (at(0, 5), "0 training, 4 validation and 7 test"),
        (at(5, 100), "4 training, 7 validation and 0 test"),
        (at(100, 200), "11 training, 0 validation and 0 test"),
    ],
)
def test_a_split_is_refused_with_counts_and_dates_when_a_part_is_empty(split: SplitConfig, counts: str) -> None:
    with pytest.raises(SplitError, match=rf"{counts}.*data from 1970-01-01 00:00:01.* to 1970-01-01 00:00:09"):
        divide(HAND, split)


def test_a_split_is_refused_when_every_event_is_at_one_moment() -> None:
    with pytest.raises(SplitError, match="0 training, 0 validation and 9 test"):
        divide([(f"u{n}", "x", 5) for n in range(9)])


def test_leave_one_out_is_refused_when_no_user_has_three_events() -> None:
    with pytest.raises(SplitError, match="no user has 3"):
        divide([("a", "x", 1), ("a", "y", 2), ("b", "x", 3)], LEAVE_ONE_OUT)


def test_a_split_is_refused_when_no_item_is_frequent_enough() -> None:
    with pytest.raises(SplitError, match=r"no item has 9 .*the most popular of 2 has 2"):
        divide(HAND, at(5, 8), DataConfig(minimum_item_interactions=9))


def test_a_split_is_refused_when_the_label_leaves_nothing() -> None:
    table = interactions([("a", "x", 1)], rating=[2.0])
    data = DataConfig(label="rating", label_minimum=5)
    for attempt in (
        lambda: split_interactions(table, items_of(table), data=data, split=SplitConfig()),
        lambda: refit_histories(table, items_of(table), data=data),
    ):
        with pytest.raises(SplitError, match=r"label 'rating' leaves 0 of 1 .*label_minimum \(now 5.0\)"):
            attempt()


def test_a_split_is_refused_when_an_item_is_not_described() -> None:
    table = interactions(HAND)
    with pytest.raises(DataError, match="1 of 2 items of the catalogue are missing from the items table, first 'y'"):
        split_interactions(table, items_of(table.slice(0, 1)), data=DataConfig(), split=at(5, 8))


def test_no_rows_are_refused() -> None:
    table = interactions([])
    with pytest.raises(SplitError, match="leaves 0 of 0 interactions"):
        split_interactions(table, items_of(table), data=DataConfig(), split=SplitConfig())


def test_refitting_learns_from_every_interaction() -> None:
    table = interactions(HAND)
    part = refit_histories(table, items_of(table), data=DataConfig(minimum_item_interactions=2))
    assert sorted(part.vocabulary.ids.tolist()) == ["x", "y", "z"]
    assert part.train_user_ids.tolist() == ["a", "b", "c", "d"]
    assert part.train.lengths.tolist() == [6, 2, 1, 2]
    assert part.train_until == EPOCH + timedelta(seconds=9, microseconds=1)
    assert int(part.item_counts.sum()) == len(HAND)


def test_the_order_of_rows_changes_nothing() -> None:
    table = interactions(HAND)
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(len(HAND))))
    one, other = (split_interactions(t, items_of(t), data=DataConfig(), split=at(5, 8)) for t in (table, mixed))
    assert readable(one, one.test) == readable(other, other.test)
    assert one.train.items.tolist() == other.train.items.tolist()


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_nothing_at_or_after_a_query_is_in_its_history(rows: list[Row]) -> None:
    try:
        split = divide(rows, SplitConfig(validation_fraction=0.3, test_fraction=0.3))
    except SplitError:
        return
    for queries, start, end in (
        (split.validation, split.train_until, split.validation_until),
        (split.test, split.validation_until, split.test_until),
    ):
        for q in range(len(queries)):
            moments = queries.targets.take(np.array([q])).compact().timestamps
            assert len(set(moments.tolist())) == 1
            assert start <= EPOCH + timedelta(microseconds=int(moments[0])) < end
            past = queries.histories.take(np.array([q])).compact()
            assert (past.timestamps < moments[0]).all()
            assert (np.diff(past.timestamps) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_histories_hold_all_earlier_events_of_known_items(rows: list[Row]) -> None:
    try:
        split = divide(rows, SplitConfig(validation_fraction=0.3, test_fraction=0.3))
    except SplitError:
        return
    known = set(split.vocabulary.ids.tolist())
    for q, user in enumerate(split.test.user_ids):
        moment = int(split.test.targets.take(np.array([q])).compact().timestamps[0]) // 1_000_000
        expected = sorted(item for owner, item, second in rows if owner == user and second < moment and item in known)
        assert sorted(split.vocabulary.decode(split.test.histories.row(q)).tolist()) == expected


@settings(max_examples=25, deadline=None)
@given(ROWS, st.sampled_from(["time", "leave_one_out"]))
def test_every_event_is_trained_on_or_a_target_exactly_once(rows: list[Row], kind: str) -> None:
    config = SplitConfig(kind=kind, validation_fraction=0.3, test_fraction=0.3)  # type: ignore[arg-type]
    try:
        split = divide(rows, config, DataConfig(maximum_repeats=len(rows)))
    except SplitError:
        return
    found: list[tuple[str, str]] = []
    for b, user in enumerate(split.train_user_ids):
        found += [(str(user), str(item)) for item in split.vocabulary.decode(split.train.row(b))]
    for queries in (split.validation, split.test):
        for q, user in enumerate(queries.user_ids):
            found += [(str(user), str(item)) for item in split.vocabulary.decode(queries.targets.row(q))]
    known = set(split.vocabulary.ids.tolist())
    assert sorted(found) == sorted((user, item if item in known else "<unknown>") for user, item, _ in rows)
    assert all((queries.histories.items != UNKNOWN).all() for queries in (split.validation, split.test))
