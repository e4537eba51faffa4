import numpy as np
import pytest
from scipy import integrate, optimize, stats

from monitoring.canary.confidence_sequence import boundary, lower_bound, mixture_rho, upper_bound
from monitoring.canary.ratio import Contrast


def _contrast(estimate, variance, users):
    return Contrast(np.asarray(estimate, float), np.asarray(variance, float), np.asarray(users, float))


def _mixture(total, users, rho):
    """Half-normal mixture of the exponential martingales of a standard normal walk, by brute force."""

    def integrand(slope):
        return 2 * stats.norm.pdf(slope, scale=rho) * np.exp(slope * total - slope**2 * users / 2)

    peak = total / users
    return integrate.quad(integrand, 0, 20 * max(peak, rho), points=[peak], limit=500)[0]


@pytest.mark.parametrize("users", [2_000, 30_000, 400_000])
@pytest.mark.parametrize("alpha", [0.005, 0.02])
def test_mixture_at_the_boundary_is_one_over_alpha_and_hardly_more(users, alpha):
    standard_errors = float(boundary(np.asarray(float(users)), alpha=alpha, tuned_users=30_000))
    rho = mixture_rho(tuned_users=30_000, alpha=alpha)
    value = _mixture(standard_errors * np.sqrt(users), users, rho)
    assert 1 / alpha <= value <= 1.1 / alpha


def test_boundary_is_the_closed_form_worked_by_hand():
    # rho**2 * tuned = -2 log(0.04) + log(1 - 2 log(0.04)) = 6.4377516 + 2.0065665
    assert 30_000 * mixture_rho(tuned_users=30_000, alpha=0.02) ** 2 == pytest.approx(8.4443181, rel=1e-6)
    # sqrt(2 * (1 + 1/8.4443181) * log(1 + sqrt(9.4443181) / 0.04))
    assert float(boundary(np.asarray(30_000.0), alpha=0.02, tuned_users=30_000)) == pytest.approx(3.12096, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.005, 0.02, 0.1])
def test_boundary_is_within_a_hundredth_of_the_tightest_at_the_tuned_size(alpha):
    def at_tuned(other):
        return float(boundary(np.asarray(10_000.0), alpha=alpha, tuned_users=other))

    best = optimize.minimize_scalar(at_tuned, bounds=(500, 100_000), method="bounded").fun
    assert at_tuned(10_000.0) <= 1.01 * best


def test_bounds_lie_the_boundary_away_from_the_estimate():
    estimate = np.array([0.3, -0.1])
    contrast = _contrast(estimate, [0.04, 0.01], [500, 900])
    radius = np.array([0.2, 0.1]) * boundary(contrast.users, alpha=0.02, tuned_users=1_000)
    assert upper_bound(contrast, alpha=0.02, tuned_users=1_000) == pytest.approx(estimate + radius)
    assert lower_bound(contrast, alpha=0.02, tuned_users=1_000) == pytest.approx(estimate - radius)


def test_bounds_are_not_numbers_when_nothing_varies():
    contrast = _contrast(1.0, 0.0, 5_000)
    assert np.isnan(lower_bound(contrast, alpha=0.02, tuned_users=1_000))
    assert np.isnan(upper_bound(contrast, alpha=0.02, tuned_users=1_000))


def test_truth_is_left_behind_as_rarely_as_stated_over_all_looks():
    rng, rollouts, looks, alpha = np.random.default_rng(4), 4_000, 500, 0.05
    walk = np.cumsum(rng.standard_normal((rollouts, looks)), axis=1)
    users = np.arange(1.0, looks + 1)
    contrast = _contrast(walk / users, np.broadcast_to(1 / users, walk.shape), np.broadcast_to(users, walk.shape))
    for is_wrong in (
        upper_bound(contrast, alpha=alpha, tuned_users=100) < 0,
        lower_bound(contrast, alpha=alpha, tuned_users=100) > 0,
    ):
        share = is_wrong.any(axis=1).mean()
        assert 0.015 < share <= alpha  # neither too bold nor empty of power
