import numpy as np

from recmodels.data.histories import Histories
from recmodels.data.known import distinct_items, is_blank, item_matrix, known_items


def test_item_matrix_holds_ones_when_items_repeat_or_are_unknown():
    matrix = item_matrix(Histories.from_lists([[3, 3, 1], [], [4, 2]]), 5)
    assert matrix.toarray().tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 1]]


def test_known_items_are_the_very_histories_when_nothing_is_unknown():
    histories = Histories.from_lists([[2], [3]])
    assert known_items(histories) is histories


def test_known_items_keep_order_and_empty_rows_when_rows_overlap():
    events = Histories.from_lists([[2, 1, 3, 4]])
    views = Histories(events.items, events.timestamps, np.array([0, 1, 1]), np.array([3, 2, 4]))
    known = known_items(views)
    assert [known.row(b).tolist() for b in range(3)] == [[2, 3], [], [3, 4]]


def test_a_history_is_blank_when_it_holds_no_known_item():
    assert is_blank(Histories.from_lists([[], [1, 1], [1, 4], [2]])).tolist() == [True, True, False, False]


def test_an_item_is_told_once_a_history_when_it_is_repeated():
    rows, items = distinct_items(Histories.from_lists([[4, 2, 4], [], [1, 3]]), 5)
    assert (rows.tolist(), items.tolist()) == ([0, 0, 2], [2, 4, 3])
