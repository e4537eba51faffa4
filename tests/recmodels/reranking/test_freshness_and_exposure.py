import numpy as np
import pytest

from recmodels.reranking.exposures import Exposures
from tests.recmodels.reranking.pools import FIRST, a_chain, a_pool, shown, some_facts


def test_half_of_the_strength_is_added_at_the_half_life_by_hand():
    """Values 1, 1/2, 0 and ages 14, 7, 0 days at a half life of 7: with .5 added at most they are 1.125, .75, .5."""
    pool = a_pool([3, 2, 1], some_facts(3, ages=[14.0, 7.0, 0.0]))
    assert shown(a_chain(("freshness", {"strength": 0.5})).rerank(pool, k=3)) == [0, 1, 2]
    assert shown(a_chain(("freshness", {"strength": 1.4})).rerank(pool, k=3)) == [2, 0, 1]  # 1.35, 1.2, 1.4


def test_an_item_without_a_date_gets_nothing_added():
    pool = a_pool([3, 2, 1], some_facts(3, ages=[np.nan, 0.0, np.nan]))
    assert shown(a_chain(("freshness", {"strength": 0.9})).rerank(pool, k=3)) == [1, 0, 2]


def test_deficits_are_parts_of_a_share_by_hand():
    """Creators 0 and 1 with merits 4 and 1 (3 + 0 interactions and one more each): by the square root, 2/3 and 1/3.

    After three places of creator 1 and one of creator 0, 0 lacks 1 - (1/4) / (2/3) = 5/8 and 1 lacks nothing.
    """
    exposures = Exposures(some_facts(3, creators=[0, 1, -1], counts=[3, 0, 8]), merit_power=0.5, memory=1e9)
    columns = np.array([FIRST, FIRST + 1, FIRST + 2], np.int32)
    assert exposures.deficits(columns).tolist() == [0, 0, 0]
    exposures.show(columns[[0, 1, 1, 1, 2]])
    assert exposures.deficits(columns) == pytest.approx([5 / 8, 0, 0])


def test_what_was_shown_long_ago_counts_less():
    """Ten lists of creator 0 after ten of creator 1, with a memory of 10 lists: 0 has 1 / (1 + 1/e) of what counts."""
    exposures = Exposures(some_facts(2, creators=[0, 1], counts=[0, 0]), merit_power=0.0, memory=10)
    for column in [FIRST + 1] * 10 + [FIRST] * 10:
        exposures.show(np.array([column], np.int32))
    share = 1 / (1 + np.e)
    assert exposures.deficits(np.array([FIRST, FIRST + 1], np.int32)) == pytest.approx([0, 1 - 2 * share])


def test_weights_stay_finite_however_many_lists_are_shown():
    exposures = Exposures(some_facts(2, creators=[0, 1], counts=[0, 0]), merit_power=0.0, memory=10)
    for _ in range(10_000):
        exposures.show(np.array([FIRST], np.int32))
    assert exposures.deficits(np.array([FIRST, FIRST + 1], np.int32)) == pytest.approx([0, 1])


def test_a_controller_brings_two_creators_to_equal_exposure():
    """Creator 0 always scores higher; shown one item a list, the deficit lets each have half of the lists."""
    facts = some_facts(2, creators=[0, 1], counts=[50, 50])
    exposures = Exposures(facts, merit_power=0.0, memory=1e6)
    chain, lists = a_chain(("exposure", {"strength": 5.0})), []
    for _ in range(200):
        columns = np.array([FIRST, FIRST + 1], np.int32)
        found = chain.rerank(a_pool([2, 1], facts, deficits=exposures.deficits(columns)), k=1)
        exposures.show(found.columns)
        lists += shown(found)
    assert 70 <= sum(lists) <= 100


def test_recalling_lists_leaves_the_state_that_showing_them_left():
    facts = some_facts(4, creators=[0, 1, 2, -1], counts=[3, 0, 8, 1])
    columns = np.arange(FIRST, FIRST + 4, dtype=np.int32)
    lists = [columns[np.array(places)] for places in ([0, 1], [2], [2, 3, 0], [0])]
    shown, recalled = (Exposures(facts, merit_power=0.5, memory=10) for _ in range(2))
    for one in lists:
        shown.show(one)
    recalled.show(columns)  # forgotten
    ages = np.repeat([3, 2, 1, 0], [len(one) for one in lists])
    recalled.recall(np.concatenate(lists), ages)
    for exposures in (shown, recalled):
        exposures.show(columns[:2])
    assert recalled.deficits(columns) == pytest.approx(shown.deficits(columns))
    recalled.recall(columns[:0], ages[:0])
    assert recalled.deficits(columns).tolist() == [0, 0, 0, 0]


def test_counts_are_inherited_by_numbers_that_stay():
    """Of creators 0, 1 and 2 the last is inherited from nobody: 0 had both places of one list, so 1 lacks all."""
    before = Exposures(some_facts(2, creators=[0, 1], counts=[0, 0]), merit_power=0.0, memory=10)
    before.show(np.array([FIRST, FIRST], np.int32))
    after = Exposures(some_facts(3, creators=[0, 1, 2], counts=[0, 0, 0]), merit_power=0.0, memory=10)
    after.inherit(before, creators=2)
    assert after.deficits(np.array([FIRST, FIRST + 1, FIRST + 2], np.int32)) == pytest.approx([0, 1, 1])
    after.show(np.array([FIRST + 2], np.int32))
    weight = np.exp(0.1)
    assert after.deficits(np.array([FIRST + 1, FIRST + 2], np.int32)) == pytest.approx(
        [1, max(0, 1 - 3 * weight / (2 + weight))]
    )
