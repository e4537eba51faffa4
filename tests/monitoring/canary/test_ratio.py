from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from monitoring.canary.ratio import contrast, fill_covariate, moments, ratio_variance, winsorise


@pytest.fixture(scope="module")
def users():
    rng = np.random.default_rng(1)
    n = 1.0 + rng.poisson(4.0, 4_000)
    rate = rng.beta(0.5, 4.5, n.size)
    y = rng.binomial(n.astype(int), rate).astype(float)
    x = rng.binomial(7, rate) / 7
    return n, y, x


def test_ratio_and_variance_are_the_fractions_worked_by_hand():
    arm = moments(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 1.0]))
    # ratio 3/6; residuals 1/2, -1/2, 0; variance (1/2) * 3 / (2 * 6**2)
    assert float(arm.ratio) == Fraction(1, 2)
    assert float(ratio_variance(arm)) == pytest.approx(float(Fraction(1, 48)), rel=1e-12)


def test_variance_agrees_with_the_bootstrap_over_users(users):
    n, y, _ = users

    def ratio(n, y, axis):
        return y.sum(axis) / n.sum(axis)

    oracle = stats.bootstrap(
        (n, y),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=2_000,
        method="percentile",
        rng=np.random.default_rng(2),
    )
    assert np.sqrt(ratio_variance(moments(n, y))) == pytest.approx(oracle.standard_error, rel=0.05)


def test_variance_is_that_of_a_mean_when_everybody_saw_one_item(users):
    y = users[1]
    assert ratio_variance(moments(np.ones_like(y), y)) == pytest.approx(stats.sem(y) ** 2, rel=1e-9)


def test_contrast_takes_the_share_of_the_control_when_a_margin_is_given():
    canary = moments(np.ones(4), np.array([1.0, 1.0, 0.0, 0.0]))
    control = moments(np.ones(4), np.array([1.0, 1.0, 1.0, 0.0]))
    found = contrast(canary, control, margin=0.2)
    # 1/2 - 4/5 * 3/4 ; variances of the means: (1/4)/3 and (3/16)/3
    assert float(found.estimate) == pytest.approx(float(Fraction(-1, 10)))
    assert float(found.variance) == pytest.approx(float(Fraction(1, 12) + Fraction(16, 25) * Fraction(1, 16)))
    assert float(found.users) == 8


def test_users_count_as_balanced_arms_when_one_arm_is_smaller():
    many, few = moments(np.ones(300), np.zeros(300)), moments(np.ones(100), np.zeros(100))
    assert float(contrast(many, few).users) == 300  # 4 / (1/300 + 1/100)


def test_covariate_adjustment_is_the_regression_on_arm_and_covariate_when_everybody_saw_one_item(users):
    _, y, x = users
    half = y.size // 2
    is_canary = np.arange(y.size) < half
    design = np.stack([np.ones_like(y), is_canary.astype(float), x], axis=1)
    oracle = np.linalg.lstsq(design, y, rcond=None)[0]
    ones = np.ones(half)
    found = contrast(moments(ones, y[:half], x[:half]), moments(ones, y[half:], x[half:]))
    assert float(found.estimate) == pytest.approx(oracle[1], rel=1e-9)
    residual = y - oracle[2] * x
    expected = stats.sem(residual[:half]) ** 2 + stats.sem(residual[half:]) ** 2
    assert float(found.variance) == pytest.approx(expected, rel=1e-9)


def test_covariate_lowers_the_variance_by_the_squared_correlation(users):
    n, y, x = users
    arm, plain = moments(n, y, x), moments(n, y)
    residual = y - float(arm.ratio) * n
    correlation = np.corrcoef(residual, x)[0, 1]
    saved = contrast(arm, arm).variance / contrast(plain, plain).variance
    assert float(saved) == pytest.approx(1 - correlation**2, rel=1e-9)
    assert correlation > 0.4


def test_adjusted_estimate_stays_unbiased_when_the_challenger_changes_how_much_is_seen():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        rate = rng.beta(2.0, 8.0, (2, 400))
        n = np.stack([1.0 + rng.poisson(1.0 + 20.0 * rate[0]), 1.0 + rng.poisson(1.0 + 4.0 * rate[1])])
        y = rng.binomial(n.astype(int), 0.2).astype(float)  # the same rate everywhere: no difference
        arms = [moments(n[i], y[i], rate[i]) for i in (0, 1)]
        found.append(float(contrast(*arms).estimate))
    assert abs(np.mean(found)) < 3 * stats.sem(found)


def test_estimate_is_unadjusted_when_the_covariate_is_constant_or_unused(users):
    n, y, x = users
    plain = contrast(moments(n, y), moments(n[::-1], y))
    constant = contrast(moments(n, y, np.full_like(x, 0.3)), moments(n[::-1], y, np.full_like(x, 0.3)))
    unused = contrast(moments(n, y, x), moments(n[::-1], y, x), use_covariate=False)
    assert float(constant.estimate) == float(plain.estimate)
    assert float(constant.variance) == pytest.approx(float(plain.variance))
    assert float(unused.estimate) == float(plain.estimate)
    assert float(unused.variance) == float(plain.variance)


def test_unknown_covariates_take_the_mean_of_the_known_of_both_arms():
    canary, control = fill_covariate(np.array([0.2, np.nan]), np.array([np.nan, 0.4, 0.9]))
    assert canary == pytest.approx([0.2, 0.5])
    assert control == pytest.approx([0.5, 0.4, 0.9])


def test_covariates_are_zero_when_none_is_known():
    canary, control = fill_covariate(np.array([np.nan]), np.array([np.nan, np.inf]))
    assert canary.tolist() == [0.0]
    assert control.tolist() == [0.0, 0.0]


def test_reward_is_capped_per_impression():
    assert winsorise(np.array([1.0, 2.0, 3.0]), np.array([50.0, 50.0, 50.0]), cap=20.0).tolist() == [20.0, 40.0, 50.0]
    assert winsorise(np.array([1.0]), np.array([50.0]), cap=None).tolist() == [50.0]


def test_moments_of_many_rollouts_are_those_of_each(users):
    n, y, x = (column.reshape(4, 1_000) for column in users)
    together = contrast(moments(n, y, x), moments(n[::-1], y[::-1], x[::-1]))
    for i in range(4):
        alone = contrast(moments(n[i], y[i], x[i]), moments(n[3 - i], y[3 - i], x[3 - i]))
        assert together.estimate[i] == pytest.approx(float(alone.estimate), abs=1e-15)
        assert together.variance[i] == pytest.approx(float(alone.variance))


def test_estimate_is_not_a_number_when_an_arm_is_empty():
    found = contrast(moments(np.empty(0), np.empty(0)), moments(np.ones(3), np.ones(3)))
    assert np.isnan(found.estimate)
    assert np.isnan(found.variance)
