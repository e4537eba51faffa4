from dataclasses import replace

import numpy as np
import pytest

from monitoring.canary import CanaryConfig
from monitoring.canary.confidence_sequence import boundary
from monitoring.canary.reading import arm_moments, is_alarm, read, sample_ratio_log_e
from tests.monitoring.canary.evidence import arm

CONFIG = CanaryConfig(alpha=0.02, promotion_alpha=0.01, delta=0.05, tuned_users=5_000)


def _read(canary, control, config=CONFIG):
    return read(*arm_moments(canary, control, config), config)


def test_bounds_are_those_worked_by_hand():
    canary, control = arm(4_000, clicks=1_000), arm(4_000, clicks=2_000)
    reading = _read(canary, control)
    one, two = 0.25 * 0.75 / 3_999, 0.5 * 0.5 / 3_999
    size = np.asarray(8_000.0)
    upper = -0.25 + np.sqrt(one + two) * boundary(size, alpha=0.02, tuned_users=5_000)
    lower = -0.25 - np.sqrt(one + 0.95**2 * two) * boundary(size, alpha=0.01, tuned_users=5_000)
    assert float(reading.estimate) == pytest.approx(-0.25)
    assert float(reading.upper) == pytest.approx(float(upper))
    assert float(reading.lower) == pytest.approx(float(lower))
    assert reading.is_worse
    assert not reading.is_not_inferior


def test_loss_within_the_tolerance_is_not_worse():
    canary, control = arm(100_000, clicks=9_400), arm(100_000, clicks=10_000)
    assert _read(canary, control).is_worse
    tolerant = CONFIG.model_copy(update={"tolerance": 0.05})
    reading = _read(canary, control, tolerant)
    assert not reading.is_worse
    assert float(reading.upper) > -0.05 * 0.1


def test_promotion_bound_and_margin_say_the_same():
    for clicks in range(9_400, 10_200, 50):
        reading = _read(arm(100_000, clicks=clicks), arm(100_000, clicks=10_000))
        assert bool(reading.is_not_inferior) == bool(reading.lower > -0.05 * reading.ratio_control)


def test_nothing_is_read_below_the_minimum_of_users():
    few, many = arm(999, clicks=10), arm(5_000, clicks=2_500)
    assert not _read(few, many).is_worse
    assert not _read(many, few).is_not_inferior
    assert _read(arm(1_000, clicks=10), many).is_worse


def test_nothing_is_read_when_nobody_differs():
    reading = _read(arm(2_000, clicks=2_000), arm(2_000, clicks=2_000))
    assert not reading.is_readable
    assert not reading.is_not_inferior


def test_users_without_impressions_are_left_out():
    shown = arm(3_000, clicks=300)
    with_ghosts = replace(arm(4_000, clicks=300), impressions=np.where(np.arange(4_000) < 3_000, 1.0, 0.0))
    assert float(_read(with_ghosts, shown).users_canary) == 3_000
    assert float(_read(with_ghosts, shown).upper) == float(_read(shown, shown).upper)


def test_rewards_are_capped_by_the_terms():
    heavy = replace(arm(2_000, clicks=200), reward=np.where(np.arange(2_000) < 2, 1e6, 1.0))
    capped = _read(heavy, arm(2_000, clicks=200), CONFIG.model_copy(update={"reward_cap": 3.0}))
    assert float(capped.ratio_canary) == pytest.approx((1_998 + 6) / 2_000)


def test_covariates_are_used_where_both_arms_have_them():
    rng = np.random.default_rng(9)
    known = [replace(arm(2_000), reward=(x := rng.random(2_000)) + 0.1 * rng.random(2_000), covariate=x) for _ in "ab"]
    width = [
        float(_read(*arms).upper - _read(*arms).estimate)
        for arms in (known, (known[0], replace(known[1], covariate=None)))
    ]
    unused = _read(*known, CONFIG.model_copy(update={"use_covariate": False}))
    assert width[0] < 0.2 * width[1]
    assert float(unused.upper - unused.estimate) == pytest.approx(width[1])


def test_unknown_covariates_do_not_spoil_the_estimate():
    covariate = np.where(np.arange(10_000) % 2 == 0, 0.3, np.nan)
    reading = _read(arm(covariate=covariate), arm(covariate=covariate))
    assert float(reading.estimate) == pytest.approx(0.0)
    assert reading.is_readable


def test_alarm_is_at_the_limit_and_not_before():
    limit = -np.log(0.005)
    assert is_alarm(np.asarray(limit), alpha=0.005)
    assert not is_alarm(np.nextafter(limit, 0), alpha=0.005)
    assert not is_alarm(np.asarray(np.nan), alpha=0.005)


def test_sample_ratio_looks_at_both_arms_alike():
    assert float(sample_ratio_log_e(700.0, 300.0)) == float(sample_ratio_log_e(300.0, 700.0)) > np.log(1_000)
