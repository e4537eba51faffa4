"""Expected values are worked out by hand as fractions, and against a plain-Python oracle."""

from fractions import Fraction
from itertools import combinations, permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmodels.data.histories import Histories
from recmodels.evaluation import metrics


def values(lists: list[list[int]], targets: list[list[int]], *top_ks: int) -> dict[str, list[float]]:
    found = metrics.accuracy_metrics(
        np.array(lists, dtype=np.int32), Histories.from_lists(targets), top_ks=top_ks or (len(lists[0]),)
    )
    return {name: column.tolist() for name, column in found.items()}


LOG3 = log2(3)


def test_metrics_are_worked_out_by_hand_when_targets_stand_second_and_fourth():
    found = values([[2, 3, 4, 5, 6]], [[5, 3]], 1, 2, 4, 5)
    assert found["recall_at_1"] == [0]
    assert found["recall_at_2"] == [1 / 2]
    assert found["recall_at_4"] == [1]
    assert found["hit_at_1"] == [0]
    assert found["hit_at_2"] == [1]
    assert found["mrr_at_1"] == [0]
    assert found["mrr_at_4"] == [1 / 2]
    assert found["ndcg_at_1"] == [0]
    assert found["ndcg_at_2"] == pytest.approx([(1 / LOG3) / (1 + 1 / LOG3)])
    assert found["ndcg_at_5"] == pytest.approx([(1 / LOG3 + 1 / log2(5)) / (1 + 1 / LOG3)])


def test_ndcg_is_one_when_all_targets_lead_although_fewer_than_k():
    assert values([[9, 8, 2, 3, 4]], [[8, 9]])["ndcg_at_5"] == [1]


def test_ndcg_divides_by_k_slots_when_there_are_more_targets_than_slots():
    assert values([[2, 3, 7, 8]], [[2, 3, 4, 5, 6]], 2)["ndcg_at_2"] == [1]


def test_recall_stays_below_one_when_there_are_more_targets_than_slots():
    assert values([[2, 3]], [[2, 3, 4, 5]])["recall_at_2"] == [2 / 4]


def test_target_outside_the_catalogue_is_a_miss_that_counts_when_others_are_found():
    found = values([[2, 3, 4]], [[2, 1, 1, 1]])
    assert found["recall_at_3"] == [1 / 4]
    assert found["ndcg_at_3"] == pytest.approx([1 / (1 + 1 / LOG3 + 1 / 2)])


def test_only_misses_are_counted_when_every_target_is_outside_the_catalogue():
    found = values([[2, 3], [4, 5]], [[1], [4]])
    assert found["recall_at_2"] == [0, 1]
    assert found["mrr_at_2"] == [0, 1]


def test_target_counts_once_when_it_is_named_twice():
    assert values([[2, 3]], [[2, 2, 3]])["recall_at_2"] == [1]


def test_empty_slots_are_never_hits_when_the_list_is_short():
    assert values([[3, 0, 0]], [[3, 4]])["recall_at_3"] == [1 / 2]
    assert values([[0, 0, 0]], [[3]])["hit_at_3"] == [0]


def test_rows_do_not_mix_when_an_item_is_the_target_of_another_row():
    found = values([[2, 3], [2, 3]], [[4], [2]])
    assert found["hit_at_2"] == [0, 1]
    assert found["mrr_at_2"] == [0, 1]


def test_duplicates_are_refused_when_a_list_names_an_item_twice():
    with pytest.raises(ValueError, match="list 1 holds item index 5 twice"):
        values([[2, 3, 4], [5, 6, 5]], [[2], [5]])


def test_several_empty_slots_are_accepted_when_nothing_else_repeats():
    assert values([[2, 0, 0, 0]], [[2]])["mrr_at_4"] == [1]


@pytest.mark.parametrize("k", [0, 4])
def test_k_is_refused_when_the_lists_do_not_have_it(k):
    with pytest.raises(ValueError, match=f"k = {k} is not between 1 and the 3 slots"):
        values([[2, 3, 4]], [[2]], k)


def test_lists_are_refused_when_they_are_not_one_a_query():
    with pytest.raises(ValueError, match="do not fit 2 queries"):
        values([[2, 3]], [[2], [3]])


def test_query_is_refused_when_it_has_no_target():
    with pytest.raises(ValueError, match="query 1 has no target"):
        values([[2], [3]], [[2], []])


def test_nothing_is_returned_when_there_is_no_query():
    found = metrics.accuracy_metrics(np.zeros((0, 3), dtype=np.int32), Histories.from_lists([]), top_ks=(3,))
    assert found["ndcg_at_3"].shape == (0,)


def oracle(ranked: list[int], targets: list[int], k: int) -> dict[str, float]:
    known = {item for item in targets if item != 1}
    num_targets = len(known) + targets.count(1)
    gains = [1 if item in known else 0 for item in ranked[:k]]
    ideal = sum(1 / log2(slot + 1) for slot in range(1, min(k, num_targets) + 1))
    return {
        f"recall_at_{k}": float(Fraction(sum(gains), num_targets)),
        f"ndcg_at_{k}": sum(gain / log2(slot + 1) for slot, gain in enumerate(gains, start=1)) / ideal,
        f"mrr_at_{k}": next((1 / slot for slot, gain in enumerate(gains, start=1) if gain), 0.0),
        f"hit_at_{k}": float(any(gains)),
    }


@st.composite
def worlds(draw):
    size = draw(st.integers(1, 8))
    rows = draw(st.integers(1, 6))
    lists = []
    for _ in range(rows):
        filled = draw(st.lists(st.integers(2, 14), unique=True, max_size=size))
        lists.append(filled + [0] * (size - len(filled)))
    targets = draw(
        st.lists(st.lists(st.sampled_from([1, *range(2, 15)]), min_size=1, max_size=9), min_size=rows, max_size=rows)
    )
    return lists, targets, draw(st.integers(1, size))


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_metrics_equal_the_oracle_when_lists_and_targets_are_arbitrary(world):
    lists, targets, k = world
    found = values(lists, targets, k)
    for row, (ranked, wanted) in enumerate(zip(lists, targets, strict=True)):
        for name, expected in oracle(ranked, wanted, k).items():
            assert found[name][row] == pytest.approx(expected, abs=1e-12), name


def test_chance_equals_the_mean_over_all_orders_when_the_catalogue_is_small():
    candidates, targets, k = [2, 3, 4, 5], [3, 5, 1], 3
    orders = [list(order[:k]) for order in permutations(candidates)]
    expected = {
        name: np.mean([oracle(order, targets, k)[name] for order in orders]) for name in ("recall_at_3", "ndcg_at_3")
    }
    found = metrics.chance_metrics(np.array([4]), np.array([2]), np.array([3]), k=k)
    assert {name: column[0] for name, column in found.items()} == pytest.approx(expected)


def test_chance_is_finite_when_fewer_items_are_left_than_slots():
    found = metrics.chance_metrics(np.array([2, 0]), np.array([1, 0]), np.array([1, 1]), k=10)
    assert found["recall_at_10"].tolist() == [1, 0]


def test_counts_leave_out_empty_slots_and_slots_after_k_when_lists_are_short():
    lists = np.array([[2, 3, 4], [2, 0, 0]], dtype=np.int32)
    assert metrics.count_recommended(lists, k=2, size=6).tolist() == [0, 0, 2, 1, 0, 0]


def test_coverage_is_the_share_of_the_catalogue_when_some_items_are_shown():
    assert metrics.coverage(np.array([0, 0, 5, 0, 1, 0])) == 2 / 4
    assert metrics.coverage(np.array([0, 0])) == 0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3], 0), ([0, 0, 9], 2 / 3), ([1, 3], 1 / 4), ([0, 0, 0], 0)],
)
def test_gini_is_a_fraction_when_worked_out_by_hand(counts, expected):
    assert metrics.gini(np.array([0, 0, *counts])) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_gini_equals_half_the_relative_mean_difference_when_counts_are_arbitrary(counts):
    n = len(counts)
    expected = sum(abs(a - b) for a in counts for b in counts) / (2 * n * sum(counts))
    assert metrics.gini(np.array([0, 0, *counts])) == pytest.approx(expected)


def test_novelty_is_in_bits_when_counts_are_powers_of_two():
    counts = np.array([0, 0, 3, 1, 0, 0])  # with one added: 4, 2, 1, 1 of 8
    lists = np.array([[2, 3], [4, 5], [3, 0], [0, 0]], dtype=np.int32)
    found = metrics.novelty(lists, counts, k=2)
    assert found[:3].tolist() == [(1 + 2) / 2, (3 + 3) / 2, 2]
    assert np.isnan(found[3])


def test_diversity_is_the_share_of_pairs_without_a_common_category_when_some_share():
    bits = metrics.category_bits(["comedy", "comedy|drama", "drama", "war"])
    lists = np.array([[2, 3, 4], [2, 4, 5], [2, 3, 0], [2, 0, 0]], dtype=np.int32)
    found = metrics.diversity(lists, bits, k=3)
    assert found[:3].tolist() == pytest.approx([1 / 3, 1, 0])
    assert np.isnan(found[3])


def test_diversity_leaves_out_pairs_when_an_item_has_no_category():
    bits = metrics.category_bits(["war", None, "comedy", ""])
    lists = np.array([[2, 3, 4], [3, 5, 2]], dtype=np.int32)
    found = metrics.diversity(lists, bits, k=3)
    assert found[0] == 1
    assert np.isnan(found[1])


def test_diversity_is_undefined_when_no_item_has_a_category():
    bits = metrics.category_bits([None, None])
    assert np.isnan(metrics.diversity(np.array([[2, 3]], dtype=np.int32), bits, k=2)).all()


def test_diversity_keeps_categories_apart_when_there_are_more_than_64():
    names = [f"c{n:03}" for n in range(130)]
    bits = metrics.category_bits([*names, "c000|c129"])
    assert bits.shape == (133, 3)
    lists = np.array([[2, 66, 130], [2, 131, 132]], dtype=np.int32)
    assert metrics.diversity(lists, bits, k=3).tolist() == pytest.approx([1, 1 / 3])


def test_diversity_equals_the_pairwise_count_when_lists_are_many(monkeypatch):
    monkeypatch.setattr(metrics, "_PAIRS_AT_ONCE", 64)  # several chunks
    rng = np.random.default_rng(3)
    genres = ["|".join(rng.choice(list("xyz"), size=rng.integers(0, 3), replace=False)) for _ in range(12)]
    lists = np.array([rng.permutation(np.arange(2, 14))[:4] for _ in range(30)], dtype=np.int32)
    found = metrics.diversity(lists, metrics.category_bits(genres), k=4)
    for row, value in zip(lists, found, strict=True):
        sets = [set(genres[item - 2].split("|")) - {""} for item in row]
        pairs = [not (a & b) for a, b in combinations(sets, 2) if a and b]
        assert value == pytest.approx(np.mean(pairs)) if pairs else np.isnan(value)
