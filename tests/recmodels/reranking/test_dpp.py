"""Fast greedy DPP against determinants computed anew for every candidate at every step."""

import numpy as np
import pytest

from tests.recmodels.reranking.pools import a_chain, a_pool, shown, some_facts


def plain_greedy(similarity, worth, *, k, window):
    """Add the item with the largest ``worth + log det(window and item) - log det(window)``."""
    chosen: list[int] = []
    while len(chosen) < k:
        near = chosen[-window:] if window else chosen
        base = np.linalg.slogdet(similarity[np.ix_(near, near)])[1] if near else 0.0
        gains = np.full(len(worth), -np.inf)
        for item in sorted(set(range(len(worth))) - set(chosen)):
            both = [*near, item]
            gains[item] = worth[item] + np.linalg.slogdet(similarity[np.ix_(both, both)])[1] - base
        chosen.append(int(gains.argmax()))
    return chosen


@pytest.mark.parametrize("window", [0, 2, 3, 5])
@pytest.mark.parametrize("strength", [0.05, 0.4, 0.95])
def test_the_greedy_list_is_that_of_determinants_computed_anew(strength, window):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(14, 12)) + 0.8
        pool = a_pool((-np.sort(-rng.normal(size=14))).tolist(), some_facts(14, vectors=vectors))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        worth = pool.start().values * (1 - strength) / strength
        expected = plain_greedy(unit @ unit.T, worth, k=9, window=window)
        chain = a_chain(("dpp", {"strength": strength, "window": window}))
        assert shown(chain.rerank(pool, k=9)) == expected


def test_the_list_is_the_best_of_all_lists_when_items_are_orthogonal_or_copies():
    """Two copies of each of three axes: any list of three without a copy has determinant 1, with one it has 0."""
    pool = a_pool([6, 5.9, 5.8, 5.7, 5.6, 5.5], some_facts(6, vectors=np.repeat(np.eye(3), 2, axis=0)))
    assert shown(a_chain(("dpp", {"strength": 0.5})).rerank(pool, k=3)) == [0, 2, 4]


def test_the_rest_follows_in_order_when_the_vectors_span_no_more_volume():
    pool = a_pool([6, 5, 4, 3, 2], some_facts(5, vectors=np.array([[1, 0], [1, 0], [0, 1], [1, 1], [1, -1]])))
    assert shown(a_chain(("dpp", {"strength": 0.9})).rerank(pool, k=5)) == [0, 2, 1, 3, 4]
    windowed = a_chain(("dpp", {"strength": 0.9, "window": 1})).rerank(pool, k=5)
    assert shown(windowed)[:3] == [0, 2, 1]  # a copy of what has left the window adds volume again


def test_a_tiny_strength_keeps_the_order():
    pool = a_pool([3, 2, 1], some_facts(3, vectors=np.array([[1, 0.1], [1, 0], [0, 1]])))
    assert shown(a_chain(("dpp", {"strength": 0.003})).rerank(pool, k=3)) == [0, 1, 2]
