import numpy as np
import pytest

from recmodels.retrieval.coarse import CoarseScores


def vectors_and_queries(seed, *, items=400, size=8, queries=20):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(items, size)).astype(np.float32),
        rng.normal(size=(queries, size)).astype(np.float32),
    )


def test_scores_are_exact_when_numbers_are_whole_and_reach_the_last_level():
    vectors = np.array([[127, 0], [-127, 64], [1, 127]], np.float32)
    queries = np.array([[63, -63], [0, 63], [126, 2]], np.float32)
    coarse = CoarseScores(vectors).of(queries)
    assert (coarse.scores * coarse.units[:, None]).tolist() == (queries @ vectors.T).tolist()


def test_sums_do_not_saturate_when_every_number_is_as_large_as_it_can_be():
    vectors = np.full((2, 64), 5, np.float32) * np.array([[1], [-1]], np.float32)
    coarse = CoarseScores(vectors).of(np.full((1, 64), 3, np.float32))
    assert coarse.scores.tolist() == [[64 * 127 * 63, -64 * 127 * 63]]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("seed", range(4))
def test_no_score_is_farther_off_than_its_row_says(seed, scale):
    vectors, queries = vectors_and_queries(seed)
    vectors *= np.float32(scale)
    coarse = CoarseScores(vectors).of(queries)
    exact = queries.astype(np.float64) @ vectors.astype(np.float64).T
    off = np.abs(coarse.scores * coarse.units[:, None] - exact).max(axis=1)
    assert (off <= coarse.errors).all()
    lengths = np.linalg.norm(queries, axis=1) * np.linalg.norm(vectors, axis=1).max()
    assert (coarse.errors < 0.03 * lengths).all()  # and it says something


def test_scores_are_zero_and_certain_when_query_or_vector_is_zero():
    coarse = CoarseScores(np.array([[0, 0], [3, 4]], np.float32)).of(np.zeros((1, 2), np.float32))
    assert coarse.scores.tolist() == [[0, 0]]
    assert coarse.errors.tolist() == [0]


def test_rows_do_not_depend_on_the_batch_when_queries_are_scored_together():
    vectors, queries = vectors_and_queries(5)
    scores = CoarseScores(vectors)
    alone = np.concatenate([scores.of(queries[row : row + 1]).scores for row in range(len(queries))])
    np.testing.assert_array_equal(scores.of(queries).scores, alone)
