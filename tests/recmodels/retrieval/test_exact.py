import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmodels.retrieval.exact import at_least, low_bounds, top_columns


def matrix(*rows):
    return np.array(rows, dtype=np.float32)


def test_top_columns_are_ordered_by_score_when_scores_differ():
    assert top_columns(matrix([0.1, 3, -2, 1], [9, 8, 7, 6]), 2).tolist() == [[1, 3], [0, 1]]


def test_the_smaller_column_wins_when_scores_tie_at_the_boundary():
    assert top_columns(matrix([1, 5, 1, 1, 1]), 3).tolist() == [[1, 0, 2]]


def test_positive_and_negative_zero_tie_when_both_occur():
    assert top_columns(matrix([-0.0, 0.0, -0.0]), 3).tolist() == [[0, 1, 2]]


def test_every_column_is_returned_when_k_exceeds_their_number():
    assert top_columns(matrix([1, 2]), 10).tolist() == [[1, 0]]


def test_infinities_stand_at_the_ends_when_present():
    assert top_columns(matrix([-np.inf, 0, np.inf, -1]), 4).tolist() == [[2, 1, 3, 0]]


@pytest.mark.parametrize("k", [1, 3, 20])
@given(values=st.lists(st.sampled_from([-1e30, -2.5, -0.0, 0.0, 1e-40, 0.5, 3.0, 1e30]), min_size=1, max_size=20))
def test_the_order_is_that_of_sorting_pairs_when_many_scores_tie(k, values):
    expected = sorted(range(len(values)), key=lambda column: (-np.float32(values[column]), column))[:k]
    assert top_columns(matrix(values), k)[0].tolist() == expected


@given(
    values=st.lists(st.integers(-50, 50), min_size=1, max_size=3000),
    bound=st.integers(-60, 60),
    most=st.integers(0, 40),
)
def test_exactly_the_columns_at_the_bound_or_above_are_taken_when_they_are_not_too_many(values, bound, most):
    scores = np.array([values, values[::-1]], np.int32)
    columns, is_crowded = at_least(scores, np.array([bound, 0], np.int32), most=most)
    for row, least in enumerate((bound, 0)):
        expected = np.flatnonzero(scores[row] >= least)
        assert is_crowded[row] == (len(expected) > most)
        taken = columns[row][columns[row] >= 0].tolist()
        assert taken == ([] if is_crowded[row] else expected.tolist())


def test_the_width_or_more_exceed_a_low_bound_when_no_scores_tie():
    rng = np.random.default_rng(0)
    scores = np.stack([rng.permutation(30_000) for _ in range(80)]).astype(np.int32)
    counts = (scores > low_bounds(scores, 100)[:, None]).sum(axis=1)
    assert ((counts >= 100) & (counts < 200)).all()
