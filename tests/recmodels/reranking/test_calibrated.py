"""The lazy greedy list against the divergence computed anew for every candidate at every step."""

import itertools

import numpy as np
import pytest

from recmodels.reranking.stages.calibrated import shares
from tests.recmodels.reranking.pools import FIRST, a_chain, a_pool, shown, some_facts

SMOOTHING = 0.1


def distribution(categories: list[list[int]], size: int) -> np.ndarray:
    """Shares of each category; the mass of items without one is left out of the sum."""
    total = np.zeros(size)
    for row in categories:
        for number in row:
            total[number] += 1 / len(row)
    return total / max(len(categories), 1)


def objective(chosen, values, categories, wanted, strength):
    held = len(chosen) * distribution([categories[item] for item in chosen], len(wanted))
    mixed = (held + SMOOTHING * wanted) / (len(chosen) + SMOOTHING)
    told = wanted > 0
    divergence = float((wanted[told] * np.log(wanted[told] / mixed[told])).sum())
    return (1 - strength) * float(sum(values[item] for item in chosen)) - strength * divergence


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.95])
def test_the_greedy_list_is_that_of_divergences_computed_anew(strength):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        categories = [rng.permutation(4)[: rng.integers(0, 4)].tolist() for _ in range(20)]
        history = [rng.permutation(4)[: rng.integers(1, 3)].tolist() for _ in range(6)]
        facts = some_facts(26, categories=categories + history)
        scores = (-np.sort(-rng.normal(size=20))).tolist()
        pool = a_pool(scores, facts, history=np.arange(22, 28, dtype=np.int32))
        wanted = distribution(history, 4)
        values, expected = pool.start().values, list[int]()
        for _ in range(10):
            left = [item for item in range(20) if item not in expected]
            gains = [objective([*expected, item], values, categories, wanted, strength) for item in left]
            expected.append(left[int(np.argmax(np.round(gains, 9)))])
        found = shown(a_chain(("calibrated", {"strength": strength})).rerank(pool, k=10))
        assert found == expected


def test_the_list_is_the_best_of_all_lists_on_a_small_pool():
    """A history of two thirds of 0 and one third of 1, scores that all but tie: 0, 0 and 1 are the best three."""
    facts = some_facts(9, categories=[[0], [0], [0], [1], [1], [1], [0], [0], [1]])
    pool = a_pool([6, 5.9, 5.8, 5.7, 5.6, 5.5], facts, history=np.array([8, 9, 10], np.int32))
    wanted = np.array([2 / 3, 1 / 3])
    best = max(
        itertools.combinations(range(6), 3),
        key=lambda chosen: objective(chosen, pool.start().values, [[0], [0], [0], [1], [1], [1]], wanted, strength=0.9),
    )
    found = shown(a_chain(("calibrated", {"strength": 0.9})).rerank(pool, k=3))
    assert sorted(found) == sorted(best) == [0, 1, 3]


def test_an_item_counts_for_each_of_its_categories_by_its_part():
    """Two items: {0} and {0, 1}; 0 has 1 + 1/2 of 2, 1 has 1/2 of 2. An item without a category counts for none."""
    facts = some_facts(3, categories=[[0], [0, 1], []])
    assert shares(facts, np.array([2, 3, 4], np.int32)) == pytest.approx([3 / 4, 1 / 4])
    assert shares(facts, np.array([4], np.int32)).tolist() == [0, 0]


def test_the_order_stays_when_the_history_has_no_category():
    facts = some_facts(4, categories=[[0], [1], [0], []])
    for history in ([], [FIRST + 3]):
        pool = a_pool([4, 3, 2, 1], facts, history=np.array(history, np.int32))
        assert shown(a_chain(("calibrated", {"strength": 1.0})).rerank(pool, k=4)) == [0, 1, 2, 3]
