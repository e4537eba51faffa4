from datetime import UTC, datetime
from math import log

import numpy as np
import pyarrow as pa
import pytest

from recmodels.data.histories import Histories
from recmodels.data.schema import CREATOR_ID, ITEM_ID, ITEMS, PUBLISHED_AT, SAFETY
from recmodels.evaluation.exposure_figures import (
    calibration_kl,
    category_shares,
    creator_gini,
    creators_of,
    item_groups,
    popularity,
    slot_shares,
)

SHARES = category_shares(["comedy", "comedy|drama", "drama", None])  # indices 2 to 5


def catalogue(creators: list[str | None], days: list[int | None]) -> pa.Table:
    rows = [
        {
            ITEM_ID: f"i{n}",
            SAFETY: "ok",
            CREATOR_ID: creator,
            PUBLISHED_AT: None if day is None else datetime(2026, 1, day, tzinfo=UTC),
        }
        for n, (creator, day) in enumerate(zip(creators, days, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def kl(p: tuple[float, float], q: tuple[float, float]) -> float:
    smoothed = [0.99 * b + 0.01 * a for a, b in zip(p, q, strict=True)]
    return sum(a * log(a / b) for a, b in zip(p, smoothed, strict=True) if a)


def test_calibration_is_the_divergence_of_the_mixes_when_films_have_two_categories():
    lists = np.array([[3, 2], [4, 0], [2, 4], [5, 0]], np.int32)
    histories = Histories.from_lists([[2], [2, 2, 4], [3], [2]])
    found = calibration_kl(lists, histories, SHARES, k=2)
    # (comedy, drama) of history and of list: (1, 0) against (3/4, 1/4); (2/3, 1/3) against (0, 1); equal mixes;
    # a list without any category
    expected = [kl((1, 0), (3 / 4, 1 / 4)), kl((2 / 3, 1 / 3), (0, 1)), 0.0, np.nan]
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


def test_calibration_is_unknown_when_the_history_is_empty_and_bounded_when_nothing_is_shared():
    found = calibration_kl(np.array([[2], [2]], np.int32), Histories.from_lists([[], [4]]), SHARES, k=1)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(-log(0.01))


def test_popularity_is_the_mean_count_of_both_sides_when_neither_is_empty():
    counts = np.array([0, 0, 40, 20, 6], np.int64)
    histories = Histories.from_lists([[4, 4, 3], [], [2]])
    of_list, of_history = popularity(np.array([[2, 3, 4], [2, 3, 4], [0, 0, 0]], np.int32), histories, counts, k=2)
    assert of_list.tolist() == pytest.approx([30, np.nan, np.nan], nan_ok=True)
    assert of_history.tolist() == pytest.approx([32 / 3, np.nan, np.nan], nan_ok=True)


def test_creators_are_sized_by_all_their_items_when_they_have_several():
    # a: 5 + 4, b: 8, c: 3, d: 2, e: 1. Of five, the first is large, the last two are small.
    items = catalogue(["a", "a", "b", "c", "d", "e", None], [None] * 7)
    groups = item_groups(items, np.array([0, 0, 5, 4, 8, 3, 2, 1, 99]))
    assert {name: np.flatnonzero(members).tolist() for name, members in groups.items()} == {
        "creators=large": [2, 3],
        "creators=middle": [4, 5],
        "creators=small": [6, 7],
    }


def test_items_of_the_last_date_are_new_together_when_they_are_more_than_a_fifth():
    groups = item_groups(catalogue([None] * 5, [3, 1, 3, None, 2]), np.zeros(7, np.int64))
    assert np.flatnonzero(groups["items=new"]).tolist() == [2, 4]
    assert np.flatnonzero(groups["items=older"]).tolist() == [3, 6]


def test_there_are_no_groups_when_creators_are_few_and_all_dates_are_one():
    assert item_groups(catalogue(["a", "b", "c", "d"], [1, 1, 1, None]), np.zeros(6, np.int64)) == {}


def test_slot_shares_leave_out_items_of_no_group():
    groups = {"x=a": np.array([0, 0, 1, 0, 0], bool), "x=b": np.array([0, 0, 0, 1, 0], bool)}
    found = slot_shares(np.array([[2, 3, 4], [4, 0, 0]], np.int32), groups, k=3)
    assert found["x=a"].tolist() == pytest.approx([1 / 2, np.nan], nan_ok=True)


def test_gini_over_creators_is_that_of_their_slots_when_one_takes_all():
    items = catalogue(["a", "a", "b", "c", "d", "e"], [None] * 6)
    counts = np.array([0, 0, 3, 2, 0, 0, 0, 0])
    assert creator_gini(counts, creators_of(items)) == pytest.approx(4 / 5)
    assert creator_gini(np.array([0, 0, 3]), creators_of(catalogue(["a"], [None]))) is None
