"""Expected values follow from six films ranked a, b, c, d, e, f (indices 2 to 7) for everybody."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import Vocabulary
from recmodels.evaluation.evaluator import evaluate, translate
from recmodels.ranker import Ranker
from recmodels.recipe import EvaluationConfig
from recmodels.scorers import ItemItemScorer, StaticScorer
from tests.recmodels.evaluation.conftest import FILMS

CONFIG = EvaluationConfig(top_ks=(2, 3), bootstrap_samples=100)
DESCENDING = (6, 5, 4, 3, 2, 1)
LOG3 = log2(3)


def test_users_count_equally_when_one_asks_more_often(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0)
    # Ann, history [a]: b c d, target b; then history [a b]: c d e, targets d and f. Bob: a b c, targets c and unknown.
    ann, bob = (1 + 1 / 2) / 2, 0
    assert found.metrics["recall_at_2"] == pytest.approx((ann + bob) / 2)
    assert found.metrics["recall_at_3"] == pytest.approx((ann + 1 / 2) / 2)
    assert found.metrics["mrr_at_3"] == pytest.approx(((1 + 1 / 2) / 2 + 1 / 3) / 2)
    ideal = 1 + 1 / LOG3
    ann, bob = (1 + (1 / LOG3) / ideal) / 2, (1 / 2) / ideal
    assert found.metrics["ndcg_at_3"] == pytest.approx((ann + bob) / 2)
    assert found.per_user["user_id"].to_pylist() == ["ann", "bob"]
    assert found.per_user["ndcg_at_3"].to_pylist() == pytest.approx([ann, bob])
    assert (found.num_users, found.num_queries, found.num_candidates) == (2, 3, 6)


def test_seen_items_return_when_they_are_not_removed(make_ranker, queries):
    config = CONFIG.model_copy(update={"remove_seen": False})
    found = evaluate(make_ranker(DESCENDING), queries, config=config, seed=0)
    assert found.recommended_counts.tolist() == [0, 0, 3, 3, 0, 0, 0, 0]
    assert found.metrics["coverage_at_2"] == 2 / 6


def test_counts_are_those_of_the_shortest_list_when_there_are_several_lengths(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0)
    assert found.recommended_counts.tolist() == [0, 0, 1, 2, 2, 1, 0, 0]
    assert found.metrics["coverage_at_2"] == 4 / 6
    assert found.metrics["coverage_at_3"] == 5 / 6


def test_variety_is_per_user_first_when_a_film_lacks_a_category(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0)
    # c|d differ, b|c share drama; e has no category, so [c d e] is judged on (c, d) alone.
    ann, bob = (2 / 3 + 1) / 2, 1 / 3  # [b c d]: two of three pairs differ; [a b c]: only (a, c)
    assert found.metrics["diversity_at_3"] == pytest.approx((ann + bob) / 2)
    bits = {film: -log2(count / 68) for film, count in zip("abcdef", (33, 17, 9, 5, 3, 1), strict=True)}
    ann, bob = (bits["b"] + 2 * bits["c"] + bits["d"]) / 4, (bits["a"] + bits["b"]) / 2
    assert found.metrics["novelty_at_2"] == pytest.approx((ann + bob) / 2)


def test_diversity_is_left_out_when_no_film_has_a_category(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING, ids=("u", "v", "w", "x", "y", "z")), queries, config=CONFIG, seed=0)
    assert "diversity_at_3" not in found.metrics | found.intervals | found.slices["user=new"]
    assert found.per_user["diversity_at_3"].to_pylist() == pytest.approx([np.nan, np.nan], nan_ok=True)


def test_slices_are_judged_on_their_own_targets_when_items_are_cut(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0)
    assert found.slices["user=new"]["recall_at_3"] == 1 / 2
    assert found.slices["user=known"]["recall_at_3"] == 3 / 4
    assert found.slices["surface=search"]["recall_at_3"] == 1 / 2
    assert found.slices["item=head"]["recall_at_3"] == 1  # head: a and b; Ann's first target is b
    assert found.slices["item=tail"]["recall_at_3"] == pytest.approx((1 / 2 + 1) / 2)  # Ann: d of d and f; Bob: c
    assert found.slices["item=tail"]["num_users"] == 2
    assert found.slices["user=known"]["num_queries"] == 2
    assert found.per_user_of("item=tail")["user_id"].to_pylist() == ["ann", "bob"]
    assert found.per_user_of("item=tail")["recall_at_3"].to_pylist() == [1 / 2, 1]
    assert found.per_user_of("user=old").num_rows == 0


def test_chance_counts_only_what_may_be_shown_when_items_are_seen_or_blocked(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING, blocked=["f"]), queries, config=CONFIG, seed=0)
    # Ann: b is one of b c d e; d is one of c d e, and f cannot be reached. Bob: c is one of five; the other is unknown.
    ann, bob = (2 * (1 / 4) + 2 * (1 / 3) / 2) / 2, 2 * (1 / 5) / 2
    assert found.chance["recall_at_2"] == pytest.approx((ann + bob) / 2)


def test_blocked_items_are_never_shown_when_they_score_best(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING, blocked=["a", "c"]), queries, config=CONFIG, seed=0)
    assert found.blocked_shown == 0
    assert found.recommended_counts[[2, 4]].tolist() == [0, 0]


def test_blocked_items_are_counted_when_the_bundle_does_not_know_that_they_are(make_ranker, queries):
    ranker = make_ranker(DESCENDING)
    config = CONFIG.model_copy(update={"remove_seen": False})
    clean = evaluate(ranker, queries, config=config, seed=0, blocked=["unheard of"])
    found = evaluate(ranker, queries, config=config, seed=0, blocked=["a", "unheard of"])
    assert (clean.blocked_shown, found.blocked_shown) == (0, 3)
    assert found.metrics == clean.metrics


def test_non_finite_answers_are_counted_when_a_score_is_nan(make_ranker, queries):
    broken = StaticScorer(np.array([0, 0, 6, np.nan, 4, 3, 2, 1], np.float32))  # no file holds one: loading refuses it
    ranker = Ranker(replace(make_ranker((6, 5, 4, 3, 2, 1)).bundle, scorer=broken))
    found = evaluate(ranker, queries, config=CONFIG, seed=0)
    assert found.non_finite == 3


def test_missing_targets_are_counted_when_they_are_outside_the_catalogue(make_ranker, queries):
    assert evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0).missing_target_share == 1 / 5


def test_intervals_hold_the_mean_and_reach_both_users_when_users_are_two(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0)
    assert found.intervals["recall_at_2"].lower == 0
    assert found.intervals["recall_at_2"].upper == 3 / 4
    assert "coverage_at_2" not in found.intervals


def test_evaluations_are_equal_when_the_seed_is_equal(make_ranker, queries):
    first, again = (evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=5) for _ in range(2))
    assert first.intervals == again.intervals
    assert first.per_user.to_pandas().equals(again.per_user.to_pandas()), "NaN is NaN"


def test_progress_reaches_the_end_when_queries_take_several_batches(make_ranker, queries):
    many = replace(
        queries,
        histories=queries.histories.take(np.arange(900) % 3),
        targets=queries.targets.take(np.arange(900) % 3),
        user_ids=np.resize(queries.user_ids, 900),
        surfaces=np.resize(queries.surfaces, 900),
        is_new_user=np.resize(queries.is_new_user, 900),
    )
    seen: list[tuple[int, int]] = []
    ranker = make_ranker(DESCENDING)
    found = evaluate(ranker, many, config=CONFIG, seed=0, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(256, 900), (512, 900), (768, 900), (900, 900)]
    assert found.metrics == pytest.approx(evaluate(ranker, queries, config=CONFIG, seed=0).metrics | spread(found))


def spread(found):
    return {name: value for name, value in found.metrics.items() if name.startswith(("coverage", "gini"))}


def test_lists_are_short_when_more_is_asked_than_the_catalogue_holds(make_ranker, queries):
    found = evaluate(make_ranker(DESCENDING), queries, config=EvaluationConfig(top_ks=(10,)), seed=0)
    assert found.metrics["recall_at_10"] == pytest.approx((1 + 1 / 2) / 2)


def test_lists_are_the_same_when_the_bundle_numbers_its_items_differently(make_ranker, queries):
    vocabulary = Vocabulary(np.array(FILMS))
    plain = evaluate(make_ranker(DESCENDING), queries, config=CONFIG, seed=0, vocabulary=vocabulary)
    other = make_ranker((1, 2, 3, 4, 5, 6), ids=FILMS[::-1], counts=(0, 0, 0, 2, 4, 8, 16, 32))
    found = evaluate(other, queries, config=CONFIG, seed=0, vocabulary=vocabulary)
    assert found.metrics == pytest.approx(plain.metrics)
    assert found.queries_digest == plain.queries_digest


def test_items_are_misses_when_the_bundle_does_not_know_them(make_ranker, queries):
    older = make_ranker((6, 5, 4), ids=("a", "c", "d"), counts=(0, 0, 3, 2, 1))
    found = evaluate(older, queries, config=CONFIG, seed=0, vocabulary=Vocabulary(np.array(FILMS)))
    assert found.missing_target_share == 3 / 5
    assert found.metrics["recall_at_3"] == pytest.approx(((0 + 1 / 2) / 2 + 1 / 2) / 2)


def test_swapped_ids_are_found_out_when_queries_travel_by_raw_id(make_ranker, queries):
    follows = sparse.csr_array(np.roll(np.eye(8, dtype=np.float32), 1, axis=1))  # after item i comes item i + 1
    after = replace(
        queries,
        histories=Histories.from_lists([[2], [3], [4]]),
        targets=Histories.from_lists([[3], [4], [5]]),
    )
    config, vocabulary = EvaluationConfig(top_ks=(1,)), Vocabulary(np.array(FILMS))
    good = evaluate(make_ranker(ItemItemScorer(follows)), after, config=config, seed=0, vocabulary=vocabulary)
    swapped = make_ranker(ItemItemScorer(follows), ids=("c", "f", "a", "e", "b", "d"))
    assert good.metrics["hit_at_1"] == 1
    assert evaluate(swapped, after, config=config, seed=0, vocabulary=vocabulary).metrics["hit_at_1"] == 0


def test_evaluation_is_refused_when_an_index_is_outside_the_catalogue(make_ranker, queries):
    with pytest.raises(ValueError, match=r"item index 7, but the bundle's catalogue ends at 4.*vocabulary"):
        evaluate(make_ranker((3, 2, 1), ids=("a", "b", "c"), counts=(0, 0, 1, 1, 1)), queries, config=CONFIG, seed=0)


def test_evaluation_is_refused_when_there_is_no_query(make_ranker, queries):
    nobody = np.array([], dtype=np.int64)
    empty = replace(
        queries,
        histories=queries.histories.take(nobody),
        targets=queries.targets.take(nobody),
        user_ids=queries.user_ids[nobody],
        surfaces=queries.surfaces[nobody],
        is_new_user=queries.is_new_user[nobody],
    )
    with pytest.raises(ValueError, match="no query to evaluate on"):
        evaluate(make_ranker(DESCENDING), empty, config=CONFIG, seed=0)


def test_digest_changes_when_queries_or_rules_change(make_ranker, queries):
    ranker = make_ranker(DESCENDING)
    later = replace(queries, targets=replace(queries.targets, timestamps=queries.targets.timestamps + 1))
    others = replace(queries, user_ids=np.array(["ann", "ann", "cleo"]))
    kept = CONFIG.model_copy(update={"remove_seen": False})
    digests = {
        evaluate(ranker, queries, config=CONFIG, seed=0).queries_digest,
        evaluate(ranker, later, config=CONFIG, seed=0).queries_digest,
        evaluate(ranker, others, config=CONFIG, seed=0).queries_digest,
        evaluate(ranker, queries, config=kept, seed=0).queries_digest,
    }
    assert len(digests) == 4


def test_translation_keeps_padding_and_unknown_when_ids_move(queries):
    source, target = Vocabulary(np.array(FILMS)), Vocabulary(np.array(["f", "b"]))
    moved = translate(queries, source=source, target=target)
    assert moved.targets.flat().items.tolist() == [3, 1, 2, 1, 1]
    assert moved.histories.flat().items.tolist() == [1, 1, 3]
