import numpy as np
import pytest
from scipy import integrate, stats

from monitoring.canary.eprocess import PRIOR, guarded_log_e_value, log_e_value


@pytest.mark.parametrize(("canary", "control"), [(0, 0), (1, 0), (0, 1), (7, 2), (30, 25), (60, 20)])
@pytest.mark.parametrize("share", [0.5, 0.54])
def test_value_is_the_mixture_integrated_by_brute_force(canary, control, share):
    prior = stats.beta(PRIOR, 1)

    def integrand(p):
        ratio = (p / share) ** canary * ((1 - p) / (1 - share)) ** control
        return ratio * prior.pdf(p) / prior.sf(share)

    expected = integrate.quad(integrand, share, 1, limit=200)[0]
    assert np.exp(log_e_value(canary, control, share=share)) == pytest.approx(expected, rel=1e-8)


def test_value_agrees_with_the_beta_binomial_of_scipy():
    canary, control = 40, 22
    together = stats.betabinom(canary + control, PRIOR, 1).logpmf(canary)
    truncated = stats.beta(PRIOR + canary, 1 + control).logsf(0.5) - stats.beta(PRIOR, 1).logsf(0.5)
    expected = together + truncated - stats.binom(canary + control, 0.5).logpmf(canary)
    assert float(log_e_value(canary, control)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.6])
def test_value_is_a_martingale_under_the_null(share):
    canary, control = np.meshgrid(np.arange(30.0), np.arange(30.0))
    now = np.exp(log_e_value(canary, control, share=share))
    after = share * np.exp(log_e_value(canary + 1, control, share=share))
    after += (1 - share) * np.exp(log_e_value(canary, control + 1, share=share))
    assert after == pytest.approx(now, rel=1e-9)


def test_value_starts_at_one_and_falls_when_events_are_the_controls():
    assert float(log_e_value(0, 0)) == pytest.approx(0.0, abs=1e-12)
    assert float(log_e_value(0, 5)) < float(log_e_value(0, 1)) < 0


def test_ten_events_in_a_row_reach_the_limit_and_nine_do_not():
    # 2**k * 3 / (k + 3) * 8 / 7 * (1 - 2**-(k + 3)) against 200
    assert float(np.exp(log_e_value(10, 0))) == pytest.approx(2**10 * 3 / 13 * 8 / 7 * (1 - 2**-13))
    assert log_e_value(9, 0) < np.log(200) < log_e_value(10, 0)


def test_value_stays_finite_when_events_are_many():
    assert np.isfinite(log_e_value(500_000, 400_000))
    assert log_e_value(400_000, 500_000) < -1_000 or np.isneginf(log_e_value(400_000, 500_000))


def test_guard_changes_nothing_when_the_split_is_even():
    assert float(guarded_log_e_value(20, 5, users_canary=5_020, users_control=4_980)) == float(log_e_value(20, 5))


def test_guard_lowers_the_value_when_the_canary_truly_has_more_users():
    guarded = guarded_log_e_value(1_200, 1_000, users_canary=120_000, users_control=100_000)
    assert float(log_e_value(1_200, 1_000)) > np.log(200)
    assert float(guarded) < 0


def test_guard_never_raises_the_value():
    rng = np.random.default_rng(5)
    events, users = rng.integers(0, 60, (2, 500)), rng.integers(60, 5_000, (2, 500))
    guarded = guarded_log_e_value(events[0], events[1], users_canary=users[0], users_control=users[1])
    assert np.all(guarded <= log_e_value(events[0], events[1]))


def test_guard_is_neutral_when_nobody_is_at_risk():
    assert float(guarded_log_e_value(0, 0, users_canary=0, users_control=0)) == pytest.approx(0.0, abs=1e-12)


def test_false_alarms_stay_below_alpha_when_users_differ_and_return():
    """Users with habits of their own come back unevenly; only the first event of each counts."""
    rng, rollouts, visits, alpha = np.random.default_rng(6), 700, 2_000, 0.05
    alarms = 0
    for _ in range(rollouts):
        users = rng.zipf(1.6, visits) % 600
        habit = rng.beta(0.2, 1.8, 600)
        met = np.flatnonzero(rng.random(visits) < habit[users])
        first = np.sort(met[np.unique(users[met], return_index=True)[1]])
        is_canary = (rng.random(600) < 0.5)[users[first]]
        log_e = log_e_value(np.cumsum(is_canary), np.cumsum(~is_canary))
        alarms += bool(np.any(log_e >= -np.log(alpha)))
    assert alarms / rollouts <= alpha


def test_counting_every_event_alarms_too_often_when_users_have_habits():
    """Why a user counts once: the same users, each event counted, break the guarantee."""
    rng, rollouts, alpha = np.random.default_rng(7), 300, 0.05
    alarms = 0
    for _ in range(rollouts):
        users = rng.integers(0, 200, 3_000)
        met = users[rng.random(3_000) < rng.beta(0.2, 1.8, 200)[users]]
        is_canary = (rng.random(200) < 0.5)[met]
        alarms += bool(np.any(log_e_value(np.cumsum(is_canary), np.cumsum(~is_canary)) >= -np.log(alpha)))
    assert alarms / rollouts > 2 * alpha
