import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recmodels.data.batches import pad
from recmodels.data.histories import Histories
from recmodels.training.windows import training_windows


def rows_of(lists, max_length):
    windows = training_windows(Histories.from_lists(lists), max_length=max_length)
    return [windows.row(b).tolist() for b in range(len(windows))]


def test_a_history_is_one_row_when_it_fits():
    assert rows_of([[2, 3, 4]], 3) == [[2, 3, 4]]


def test_a_history_is_cut_from_the_end_when_it_is_longer():
    assert rows_of([[2, 3, 4, 5, 6, 7, 8]], 3) == [[5, 6, 7, 8], [2, 3, 4, 5], [2]]


def test_no_row_is_made_when_a_history_is_empty():
    assert rows_of([[], [2], []], 3) == [[2]]


@given(lengths=st.lists(st.integers(0, 25), min_size=1, max_size=6), max_length=st.integers(1, 8))
def test_every_event_is_a_target_once_when_rows_are_padded_as_in_training(lengths, max_length):
    first = np.cumsum([0, *lengths[:-1]])
    lists = [list(range(2 + start, 2 + start + length)) for start, length in zip(first, lengths, strict=True)]
    windows = training_windows(Histories.from_lists(lists), max_length=max_length)
    targets = []
    for b in range(len(windows)):
        row = windows.take(np.array([b]))
        width = min(int(row.lengths[0]), max_length) + 1
        targets += [n for n in pad(row, length=width)[0, 1:].tolist() if n]
    assert sorted(targets) == list(range(2, 2 + sum(lengths)))
