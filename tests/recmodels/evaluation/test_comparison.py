from dataclasses import replace

import numpy as np
import pytest

from recmodels.evaluation.comparison import BETTER, WORSE, compare

RULES = {"metric": "ndcg_at_10", "samples": 400, "confidence": 0.95, "seed": 0}


def test_difference_is_paired_when_users_are_in_both_by_id(make_evaluation):
    candidate = make_evaluation({"ann": 0.5, "bob": 0.1, "new": 0.9})
    baseline = make_evaluation({"bob": 0.2, "ann": 0.2, "old": 0.7, "older": 0.7})
    found = compare(candidate, baseline, **RULES)
    assert found.difference == pytest.approx(((0.5 - 0.2) + (0.1 - 0.2)) / 2)
    assert (found.candidate, found.baseline) == pytest.approx((0.3, 0.2))
    assert found.relative == pytest.approx(0.5)
    assert (found.num_users, found.num_left_out) == (2, 3)


def test_interval_is_a_point_when_every_user_gains_the_same(make_evaluation):
    users = np.random.default_rng(0).random(50)
    found = compare(make_evaluation(users + 0.125), make_evaluation(users), **RULES)
    assert (found.lower, found.upper) == pytest.approx((0.125, 0.125))
    assert found.probability_better == 1
    assert found.words.startswith("better: ndcg_at_10")


def test_interval_is_that_of_the_mean_when_differences_are_random(make_evaluation):
    rng = np.random.default_rng(4)
    users, gains = rng.random(900), rng.normal(0.01, 0.1, 900)
    found = compare(make_evaluation(users + gains), make_evaluation(users), **(RULES | {"samples": 4000}))
    half = 1.96 * gains.std() / 30
    assert found.upper - found.difference == pytest.approx(half, rel=0.1)
    assert found.difference - found.lower == pytest.approx(half, rel=0.1)


def test_candidate_is_worse_when_the_whole_interval_is_below_zero(make_evaluation):
    users = np.linspace(0.2, 0.4, 40)
    found = compare(make_evaluation(users * 0.8), make_evaluation(users), **RULES)
    assert found.upper < 0
    assert found.probability_better == 0
    assert found.relative == pytest.approx(-0.2)
    assert found.words.startswith("worse: ndcg_at_10 0.2400 against 0.3000, -0.0600 (-20.0%), 95.0% interval")


def test_models_are_not_distinguishable_when_they_are_the_same(make_evaluation):
    users = np.linspace(0.2, 0.4, 40)
    found = compare(make_evaluation(users), make_evaluation(users), **RULES)
    assert (found.difference, found.lower, found.upper, found.relative) == (0, 0, 0, 0)
    assert found.probability_better == 1 / 2
    assert found.words.startswith("not distinguishable")


@pytest.mark.parametrize(("value", "relative"), [(0.1, np.inf), (0.0, 0.0)])
def test_relative_change_is_defined_when_the_baseline_is_zero(make_evaluation, value, relative):
    assert compare(make_evaluation([value]), make_evaluation([0.0]), **RULES).relative == relative


def test_users_without_a_value_are_left_out_when_one_side_has_none(make_evaluation):
    found = compare(make_evaluation([0.5, np.nan, 0.3]), make_evaluation([0.4, 0.4, np.nan]), **RULES)
    assert (found.num_users, found.num_left_out) == (1, 4)
    assert found.difference == pytest.approx(0.1)


def test_slices_are_compared_at_a_raised_confidence_when_both_hold_them(make_evaluation):
    new, known = {"ann": 0.2, "bob": 0.4}, {"cleo": 0.3}
    better_for_new = {"ann": 0.3, "bob": 0.6}
    candidate = make_evaluation(
        better_for_new | known, slices={"user=new": better_for_new, "user=known": known, "surface=live": known}
    )
    baseline = make_evaluation(new | known, slices={"user=new": new, "user=known": known})
    found = compare(candidate, baseline, **RULES)
    assert sorted(found.slices) == ["user=known", "user=new"]
    assert found.slices["user=new"].difference == pytest.approx(0.15)
    assert found.slices["user=new"].num_users == 2
    assert found.slices["user=known"].difference == 0
    assert found.slices["user=new"].confidence == pytest.approx(1 - 0.05 / 2)
    assert found.confidence == 0.95


def test_slice_is_left_out_when_no_user_is_in_both(make_evaluation):
    candidate = make_evaluation({"ann": 0.2}, slices={"user=new": {"ann": 0.2}})
    baseline = make_evaluation({"ann": 0.2, "bob": 0.2}, slices={"user=new": {"bob": 0.2}})
    assert compare(candidate, baseline, **RULES).slices == {}


@pytest.mark.parametrize(("digest", "is_same"), [("same", True), ("other", False)])
def test_same_queries_are_recognised_when_digests_agree(make_evaluation, digest, is_same):
    assert compare(make_evaluation(), make_evaluation(queries_digest=digest), **RULES).is_same_queries is is_same


def test_comparison_is_equal_when_the_seed_is_equal(make_evaluation):
    candidate, baseline = make_evaluation([0.1, 0.5, 0.3]), make_evaluation([0.2, 0.1, 0.3])
    assert compare(candidate, baseline, **RULES) == compare(candidate, baseline, **RULES)


def test_comparison_is_refused_when_no_user_is_in_both(make_evaluation):
    with pytest.raises(ValueError, match="no user has ndcg_at_10 in both evaluations"):
        compare(make_evaluation({"ann": 0.1}), make_evaluation({"bob": 0.1}), **RULES)


def test_comparison_is_refused_when_the_metric_has_no_value_a_user(make_evaluation):
    with pytest.raises(ValueError, match="'coverage_at_10' has no value a user; known: ndcg_at_10"):
        compare(make_evaluation(), make_evaluation(), **(RULES | {"metric": "coverage_at_10"}))


def test_less_is_better_when_the_metric_is_a_divergence(make_evaluation):
    low, high = (make_evaluation([value] * 30) for value in (0.2, 0.4))
    low, high = (
        replace(one, per_user=one.per_user.rename_columns(["user_id", "calibration_kl_at_10"])) for one in (low, high)
    )
    found = compare(low, high, metric="calibration_kl_at_10", samples=100, confidence=0.95, seed=0)
    assert (found.verdict, found.difference) == (BETTER, pytest.approx(-0.2))
    found = compare(high, low, metric="calibration_kl_at_10", samples=100, confidence=0.95, seed=0)
    assert found.verdict == WORSE
