"""The pool of one list: what a second stage does to it."""

import numpy as np

from tests.recmodels.reranking.pools import a_pool


def test_retrieval_moves_candidates_by_its_standing_among_them():
    pool = a_pool([4.0, 3.0, 2.0])  # 1, 1/2 and 0 of the way
    utilities = np.array([0.1, 0.2, 0.4], np.float32)
    assert pool.rescored(utilities, most=3).columns.tolist() == [4, 3, 2]
    heeded = pool.rescored(utilities, most=3, retrieval=0.25)  # 0.35, 0.325, 0.4
    assert heeded.columns.tolist() == [4, 2, 3]
    np.testing.assert_allclose(heeded.scores, [0.4, 0.35, 0.325], rtol=1e-6)
    np.testing.assert_allclose(heeded.told, [0.4, 0.1, 0.2], rtol=1e-6)


def test_a_reserve_gains_nothing_by_a_score_below_all_that_was_retrieved():
    pool = a_pool([4.0, 2.0, -5.0], retrieved=2)
    heeded = pool.rescored(np.array([0.1, 0.1, 0.3], np.float32), most=2, retrieval=1.0)
    assert heeded.columns.tolist() == [2, 3, 4]
    np.testing.assert_allclose(heeded.scores, [1.1, 0.1, 0.3], rtol=1e-6)


def test_what_is_not_finite_goes_and_the_best_stay():
    pool = a_pool([3.0, 2.0, 1.0])
    kept = pool.rescored(np.array([np.nan, 0.1, 0.2], np.float32), most=1, retrieval=0.01)
    assert kept.columns.tolist() == [4]
