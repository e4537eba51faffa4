import numpy as np
import pytest

from tests.recmodels.reranking.pools import a_chain, a_pool, shown, some_facts


def test_a_creator_has_at_most_its_cap_among_neighbours_by_hand():
    """Creators a a a b b c, one of each among any two neighbours: a b a b a c."""
    pool = a_pool([6, 5, 4, 3, 2, 1], some_facts(6, creators=[0, 0, 0, 1, 1, 2]))
    assert shown(a_chain(("caps", {"creator": 1, "window": 2})).rerank(pool, k=6)) == [0, 3, 1, 4, 2, 5]


def test_the_best_of_the_others_fills_a_place_when_a_cap_leaves_none():
    pool = a_pool([4, 3, 2, 1], some_facts(4, creators=[0, 0, 0, 1]))
    soft = a_chain(("caps", {"creator": 1, "window": 5})).rerank(pool, k=4)
    assert shown(soft) == [0, 3, 1, 2]
    strict = a_chain(("caps", {"creator": 1, "window": 5, "is_strict": True})).rerank(pool, k=4)
    assert shown(strict) == [0, 3]


def test_items_without_a_label_are_under_no_cap():
    pool = a_pool([3, 2, 1], some_facts(3, creators=[-1, -1, -1], categories=[[], [], []]))
    capped = a_chain(("caps", {"creator": 1, "category": 1, "is_strict": True})).rerank(pool, k=3)
    assert shown(capped) == [0, 1, 2]


@pytest.mark.parametrize(("creator", "category", "window"), [(1, 0, 3), (2, 3, 5), (0, 1, 2), (1, 2, 4)])
def test_no_window_holds_more_than_its_caps_when_they_are_strict(creator, category, window):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        creators, categories = rng.integers(-1, 8, 60), rng.integers(-1, 6, 60)
        facts = some_facts(
            60, creators=creators.tolist(), categories=[[number] if number >= 0 else [] for number in categories]
        )
        pool = a_pool((-np.sort(-rng.normal(size=60))).tolist(), facts)
        config = {"creator": creator, "category": category, "window": window, "is_strict": True}
        found = shown(a_chain(("caps", config)).rerank(pool, k=20))
        for labels, most in ((creators, creator), (categories, category)):
            for start in range(len(found)):
                held = labels[found[start : start + window]]
                held = held[held >= 0]
                assert not most or not len(held) or np.bincount(held).max() <= most
