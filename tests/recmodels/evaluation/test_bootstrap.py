import numpy as np
import pytest

from recmodels.evaluation import bootstrap
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval


def test_means_spread_as_the_standard_error_when_users_differ():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=(400, 1))
    means = bootstrap_means(values, samples=4000, seed=0)[:, 0]
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(400), rel=0.05)


def test_means_are_equal_when_the_seed_is_equal():
    values = np.arange(6.0).reshape(3, 2)
    first, again = (bootstrap_means(values, samples=50, seed=7) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, bootstrap_means(values, samples=50, seed=8))


def test_columns_share_their_draws_when_one_is_a_shift_of_the_other():
    values = np.array([[1.0, 11.0], [5.0, 15.0], [9.0, 19.0]])
    means = bootstrap_means(values, samples=200, seed=0)
    assert means[:, 1] - means[:, 0] == pytest.approx(10.0)


def test_users_without_a_value_stay_out_when_a_column_has_gaps():
    values = np.array([[2.0, 1.0], [np.nan, 3.0]])
    means = bootstrap_means(values, samples=300, seed=0)
    assert set(means[:, 0][np.isfinite(means[:, 0])]) == {2.0}
    assert np.isnan(means[:, 0]).mean() == pytest.approx(1 / 4, abs=0.08)  # both draws fall on the other user
    assert set(means[:, 1]) == {1.0, 2.0, 3.0}


def test_means_do_not_change_when_they_are_drawn_in_chunks(monkeypatch):
    values = np.arange(20.0).reshape(10, 2)
    whole = bootstrap_means(values, samples=101, seed=3)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 70)
    assert np.array_equal(whole, bootstrap_means(values, samples=101, seed=3))


def test_drawing_is_refused_when_there_is_no_user():
    with pytest.raises(ValueError, match="no user to draw from"):
        bootstrap_means(np.zeros((0, 1)), samples=10, seed=0)


def test_interval_cuts_both_sides_equally_when_samples_are_a_ladder():
    interval = percentile_interval(np.arange(101.0), confidence=0.9)
    assert (interval.lower, interval.upper) == pytest.approx((5.0, 95.0))


def test_interval_leaves_out_samples_without_a_value_when_some_are_missing():
    interval = percentile_interval(np.array([np.nan, 1.0, 3.0]), confidence=0.5)
    assert (interval.lower, interval.upper) == (1.5, 2.5)


def test_interval_is_undefined_when_no_sample_has_a_value():
    assert np.isnan(percentile_interval(np.array([np.nan]), confidence=0.9).lower)
