"""Logged probabilities against the frequencies of 20,000 draws."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recmodels.reranking.stages.exploration import Stage, chance_to_win
from tests.recmodels.reranking.pools import a_chain, a_pool, some_facts

DRAWS = 20_000


def cold_pool():
    """Ten retrieved items, two of them cold and outside of a list of five, and four cold ones in reserve."""
    counts = [500] * 7 + [3, 500, 0] + [1, 0, 19, 2]
    scores = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0.5, 0, -1, -4]
    return a_pool(scores, some_facts(14, counts=counts), retrieved=10)


@pytest.mark.parametrize("method", ["epsilon", "thompson"])
def test_logged_probabilities_are_the_frequencies_of_20_000_draws(method):
    """Each of some 15 frequencies must lie within 4 standard errors of what was logged (Bonferroni: 1 in 1,000)."""
    stage = Stage(Stage.Config(method=method, rate=0.4, places=(2, 4), cold_below=20))
    pool, seen, logged = cold_pool(), Counter[tuple[int, int]](), dict[tuple[int, int], float]()
    draft = pool.start()
    for seed in range(DRAWS):
        shown = stage.rerank(replace(pool, seed=seed), draft, 5)
        order, propensities = shown.order.tolist(), shown.propensities.tolist()
        assert len(set(order)) == 5
        seen.update(enumerate(order))
        for key, propensity in zip(enumerate(order), propensities, strict=True):
            assert logged.setdefault(key, propensity) == propensity
    for key, propensity in logged.items():
        error = np.sqrt(propensity * (1 - propensity) / DRAWS)
        assert seen[key] / DRAWS == pytest.approx(propensity, abs=max(4 * error, 1e-12)), key
    for place in range(5):
        of_place = [propensity for (where, _), propensity in logged.items() if where == place]
        assert sum(of_place) == pytest.approx(1.0, abs=2e-3)
        assert (len(of_place) > 1) == (place in {2, 4})


def test_epsilon_gives_every_cold_candidate_the_same_chance():
    """Six are cold (7 and 9 of the pool, 10 to 13 of the reserve): each has a rate of .3 / 6 at each place."""
    chain = a_chain(("exploration", {"rate": 0.3, "places": [2, 4], "cold_below": 20}))
    found = {p for s in range(100) for p in chain.rerank(replace(cold_pool(), seed=s), k=5).propensities.tolist()}
    assert sorted(found) == pytest.approx([0.05, 0.7, 1.0])


def test_the_chance_to_win_is_that_of_a_hand_worked_tournament():
    """Beta(1, 1) against Beta(2, 1): P(U < max of two uniforms) = 2/3. Three equal ones win a third each."""
    assert chance_to_win(np.array([1.0, 2.0]), np.array([1.0, 1.0]), winner=1) == pytest.approx(2 / 3, abs=1e-3)
    assert chance_to_win(np.full(3, 0.1), np.full(3, 0.1), winner=0) == pytest.approx(1 / 3, abs=1e-3)
    assert chance_to_win(np.array([5.0]), np.array([5.0]), winner=0) == pytest.approx(1.0, abs=1e-9)


def test_the_chance_to_win_is_that_of_numerical_integration():
    a, b = np.array([0.1, 30.0, 4.0, 0.6]), np.array([1.9, 70.0, 9.0, 0.4])
    quantiles = (np.arange(4000) + 0.5) / 4000  # of the winner, over which its density has no pole
    for winner in range(4):
        places = stats.beta(a[winner], b[winner]).ppf(quantiles)
        others = [stats.beta(a[j], b[j]).cdf(places) for j in range(4) if j != winner]
        expected = np.prod(others, axis=0).mean()
        assert chance_to_win(a, b, winner=winner) == pytest.approx(expected, abs=1e-3)


def test_places_that_no_cold_item_is_left_for_are_certain():
    facts = some_facts(4, counts=[9, 9, 9, 0])
    chain = a_chain(("exploration", {"rate": 1.0, "places": [0, 1], "cold_below": 5}))
    for seed in range(20):
        shown = chain.rerank(a_pool([4, 3, 2, 1], facts, seed=seed), k=2)
        assert shown.columns.tolist() == [5, 3]
        assert shown.propensities.tolist() == [1.0, 1.0]


def test_nothing_is_drawn_when_nothing_is_cold_or_no_place_is_in_the_list():
    chain = a_chain(("exploration", {"rate": 1.0, "places": [3]}))
    assert chain.rerank(cold_pool(), k=3).propensities.tolist() == [1.0] * 3
    warm = a_pool([4, 3, 2, 1], some_facts(4))
    assert chain.rerank(warm, k=4).columns.tolist() == [2, 3, 4, 5]
