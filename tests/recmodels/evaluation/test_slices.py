from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from recmodels.data.histories import Histories
from recmodels.data.splits import Queries
from recmodels.errors import DataError
from recmodels.evaluation.slices import groups_of, head_items, slices_of
from recmodels.lineage import OLDER_USERS


def test_head_is_a_fifth_of_the_catalogue_rounded_up_when_items_are_six():
    counts = np.array([99, 99, 1, 7, 7, 0, 3, 2])
    assert np.flatnonzero(head_items(counts)).tolist() == [3, 4]  # ceil(6 / 5) = 2


def test_ties_go_to_the_smaller_index_when_counts_are_equal():
    assert np.flatnonzero(head_items(np.array([0, 0, 4, 4, 4, 4, 4]))).tolist() == [2]


def test_every_kind_of_slice_is_cut_when_queries_differ(queries):
    counts = np.array([0, 0, 9, 8, 1, 1, 1, 1])  # head: 2 and 3
    parts = {part.name: part for part in slices_of(queries, counts)}
    assert {name: part.rows.tolist() for name, part in parts.items()} == {
        "user=new": [2],
        "user=known": [0, 1],
        "surface=search": [1],
        "surface=video": [0, 2],
        "item=head": [0],
        "item=tail": [1, 2],
    }


def test_item_slices_keep_their_own_targets_when_a_query_has_both(queries):
    counts = np.array([0, 0, 1, 1, 1, 9, 8, 1])  # head: 5 and 6
    parts = {part.name: part for part in slices_of(queries, counts)}
    assert parts["item=head"].rows.tolist() == [1]
    assert parts["item=head"].targets.row(0).tolist() == [5]
    assert parts["item=tail"].rows.tolist() == [0, 1, 2]
    assert [parts["item=tail"].targets.row(n).tolist() for n in range(3)] == [[3], [7], [4]]  # 1 belongs to neither


def test_targets_keep_their_times_when_an_item_slice_thins_them_out(queries):
    parts = {part.name: part for part in slices_of(queries, np.array([0, 0, 1, 1, 1, 9, 8, 1]))}
    assert parts["item=tail"].targets.compact().timestamps.tolist() == [0, 1_000_000, 0]


def test_slices_are_left_out_when_they_hold_no_query(queries):
    known = replace(queries, is_new_user=np.zeros(3, bool), surfaces=np.array(["video"] * 3))
    names = {part.name for part in slices_of(known, np.array([0, 0, 0, 0, 0, 0, 9, 8]))}
    assert names == {"user=known", "item=head", "item=tail"}


def test_older_users_are_those_with_most_of_their_first_history_before_the_warm_start():
    since, second = datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC), 1_000_000  # the tenth second, in microseconds
    asked = Queries(
        histories=Histories.from_lists(
            [[2, 3, 4], [2, 3, 4, 5, 6, 7], [2, 3], [2], []],
            [
                [1 * second, 2 * second, 11 * second],
                [1 * second, 2 * second, *(n * second for n in (11, 12, 13, 14))],
                [9 * second, 10 * second],
                [10 * second],
                [],
            ],
        ),
        targets=Histories.from_lists([[5], [2], [3], [3], [3]]),
        user_ids=np.array(["ann", "ann", "bob", "cid", "dan"]),
        surfaces=np.array(["video"] * 5),
        is_new_user=np.array([False, False, False, False, True]),
    )
    parts = {part.name: part.rows.tolist() for part in slices_of(asked, np.ones(8, np.int64), since=since)}
    assert parts[OLDER_USERS] == [0, 1]  # ann by 2 of 3, whatever came later; bob's half is not most
    assert OLDER_USERS not in {part.name for part in slices_of(asked, np.ones(8, np.int64))}


def test_known_users_fall_into_thirds_by_the_length_of_their_first_history():
    lengths = [1, 2, 2, 3, 4, 4, 0, 9]  # the first seven users ask once, the first of them again with nine events
    users = ["a", "b", "c", "d", "e", "f", "new", "a"]
    asked = Queries(
        histories=Histories.from_lists([[2] * n for n in lengths]),
        targets=Histories.from_lists([[3]] * 8),
        user_ids=np.array(users),
        surfaces=np.array(["video"] * 8),
        is_new_user=np.array([name == "new" for name in users]),
    )
    parts = {part.name: part.rows.tolist() for part in slices_of(asked, np.ones(8, np.int64))}
    assert parts["activity=light"] == [0, 1, 2, 7]
    assert parts["activity=regular"] == [3]
    assert parts["activity=heavy"] == [4, 5]
    ages = {"age": np.array(["old", "", "old", "young", "", "", "", "old"])}
    grouped = {part.name: part.rows.tolist() for part in slices_of(asked, np.ones(8, np.int64), groups=ages)}
    assert grouped["age=old"] == [0, 2, 7]
    assert grouped["age=young"] == [3]
    assert "age=" not in grouped


def test_groups_are_read_from_the_users_table_when_the_recipe_names_an_attribute():
    users = pa.table({"user_id": ["b", "a", "c"], "age": ["old", "young", None]})
    found = groups_of(users, np.array(["a", "b", "a", "c", "d"]), ["age"])
    assert found["age"].tolist() == ["young", "old", "young", "", ""]
    with pytest.raises(DataError, match="names 'shoe', which the users table lacks; its attributes are age"):
        groups_of(users, np.array(["a"]), ["shoe"])
