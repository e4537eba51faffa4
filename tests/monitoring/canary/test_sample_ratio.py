import numpy as np
import pytest
from scipy import stats

from monitoring.canary.sample_ratio import CONCENTRATION, log_e_value


@pytest.mark.parametrize("counts", [(0, 0), (3, 1), (540, 460), (2_600, 2_400)])
def test_value_agrees_with_the_dirichlet_multinomial_of_scipy(counts):
    total = sum(counts)
    mixed = stats.dirichlet_multinomial([CONCENTRATION / 2, CONCENTRATION / 2], total).logpmf(counts)
    fixed = stats.multinomial(total, [0.5, 0.5]).logpmf(counts)
    assert float(log_e_value(np.array(counts))) == pytest.approx(mixed - fixed, abs=1e-7)


def test_value_agrees_for_three_arms_of_unequal_design():
    counts, shares = [40, 70, 900], (0.05, 0.05, 0.9)
    mixed = stats.dirichlet_multinomial(200 * np.array(shares), sum(counts)).logpmf(counts)
    fixed = stats.multinomial(sum(counts), shares).logpmf(counts)
    assert float(log_e_value(np.array(counts), shares, concentration=200.0)) == pytest.approx(mixed - fixed, abs=1e-7)


def test_value_is_a_martingale_under_the_design():
    counts = np.stack(np.meshgrid(np.arange(50.0), np.arange(50.0)), axis=-1)
    after = sum(0.5 * np.exp(log_e_value(counts + step)) for step in ([1.0, 0.0], [0.0, 1.0]))
    assert after == pytest.approx(np.exp(log_e_value(counts)), rel=1e-9)


def test_broken_split_is_found_and_a_fair_one_is_not():
    assert log_e_value(np.array([2_300.0, 2_700.0])) > np.log(1_000)
    assert log_e_value(np.array([2_480.0, 2_520.0])) < 0


def test_false_flags_stay_below_alpha_over_all_looks():
    rng, alpha = np.random.default_rng(8), 0.05
    canary = np.cumsum(rng.binomial(20, 0.5, (2_000, 500)), axis=1)
    users = 20 * np.arange(1, 501)
    flags = (log_e_value(np.stack([canary, users - canary], axis=-1)) >= -np.log(alpha)).any(axis=1)
    assert 0.005 < flags.mean() <= alpha


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.0), (0.6, 0.6), (1.0,), (1.2, -0.2)])
def test_refused_when_shares_do_not_fit(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        log_e_value(np.array([5.0, 5.0]), shares)
