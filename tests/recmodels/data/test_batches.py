import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmodels.data.batches import length_buckets, pad, pad_times
from recmodels.data.histories import Histories


def test_rows_are_padded_on_the_left_and_cut_to_the_newest() -> None:
    padded = pad(Histories.from_lists([[2, 3, 4], [5], []]), length=2)
    assert padded.tolist() == [[3, 4], [0, 5], [0, 0]]
    assert padded.dtype == np.int32


def test_times_stand_where_their_items_do_when_both_are_padded() -> None:
    histories = Histories.from_lists([[2, 3, 4], [5], []], [[10, 20, 2**60], [30], []])
    assert pad_times(histories, length=2).tolist() == [[20, 2**60], [0, 30], [0, 0]]
    assert pad_times(Histories.from_lists([[]]), length=2).tolist() == [[0, 0]]
    assert pad_times(histories, length=1).dtype == np.int64


def test_padding_never_reads_a_neighbour_when_rows_share_arrays() -> None:
    histories = Histories.from_lists([[2, 3], [4, 5]]).take(np.array([1]))
    assert pad(histories, length=4).tolist() == [[0, 0, 4, 5]]


def test_only_padding_is_left_when_there_is_no_event() -> None:
    assert pad(Histories.from_lists([[], []]), length=3).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_pad_is_refused_when_no_column_is_left() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pad(Histories.from_lists([[2]]), length=0)


@given(st.lists(st.lists(st.integers(2, 9), max_size=5), min_size=1, max_size=6), st.integers(1, 7))
def test_padded_rows_hold_the_same_events(rows: list[list[int]], length: int) -> None:
    padded = pad(Histories.from_lists(rows), length=length)
    assert [[item for item in row if item] for row in padded.tolist()] == [row[-length:] for row in rows]


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_every_row_is_in_one_batch(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = length_buckets(np.array(lengths, dtype=np.int64), batch_size=batch_size, rng=np.random.default_rng(seed))
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_batches_are_alike_in_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 65, size=640)
    batches = length_buckets(lengths, batch_size=10, rng=np.random.default_rng(1))
    spreads = [int(lengths[batch].max() - lengths[batch].min()) for batch in batches]
    assert max(spreads) <= 4
    assert np.mean(spreads) <= 2


def test_the_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    lengths = np.random.default_rng(0).integers(1, 65, size=200)
    first, again, other = (
        [batch.tolist() for batch in length_buckets(lengths, batch_size=16, rng=np.random.default_rng(seed))]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_length_buckets_are_refused_when_a_batch_holds_nothing() -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        length_buckets(np.array([1]), batch_size=0, rng=np.random.default_rng(0))
