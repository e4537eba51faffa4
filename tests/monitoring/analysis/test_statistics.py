"""Intervals and tests against other ways to reach the same numbers."""

import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control

from monitoring.analysis.statistics import (
    Sums,
    benjamini_hochberg,
    binomial_tail,
    ratio_of_sums,
    share_interval,
    wilson,
)


def sums(y: np.ndarray, x: np.ndarray) -> Sums:
    one = (len(x), y.sum(), x.sum(), (y * y).sum(), (x * y).sum(), (x * x).sum())
    return Sums(*(np.array([float(value)]) for value in one))


def test_the_variance_of_a_ratio_agrees_with_the_bootstrap_over_people() -> None:
    rng = np.random.default_rng(0)
    x = rng.geometric(0.2, 400).astype(float)
    y = rng.binomial(x.astype(int), rng.beta(2, 3, 400)).astype(float)
    _, variance = ratio_of_sums(sums(y, x))
    weights = rng.multinomial(400, np.full(400, 1 / 400), size=4_000)
    assert np.sqrt(variance[0]) == pytest.approx(((weights @ y) / (weights @ x)).std(), rel=0.05)


def test_the_interval_of_a_share_covers_it_when_people_are_drawn_anew() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        x = rng.geometric(0.1, 60).astype(float)
        y = rng.binomial(x.astype(int), rng.beta(0.5, 1.5, 60)).astype(float)
        found = share_interval(sums(y, x), confidence=0.95)
        covered += bool(found.lower[0] <= 0.25 <= found.upper[0])
    assert 0.90 <= covered / 400 <= 0.99


def test_wilson_is_its_textbook_value() -> None:
    found = wilson(np.array([0.1, 0.0, 1.0]), np.array([10.0, 10.0, 10.0]), confidence=0.95)
    assert found.lower == pytest.approx([0.0179, 0.0, 0.7225], abs=1e-4)
    assert found.upper == pytest.approx([0.4042, 0.2775, 1.0], abs=1e-4)


def test_the_tail_of_the_binomial_agrees_with_scipy() -> None:
    hits, draws = np.array([0.0, 1.0, 7.0, 10.0]), np.array([10.0, 10.0, 10.0, 10.0])
    assert binomial_tail(hits, draws, 0.3) == pytest.approx(binom.sf(hits - 1, draws, 0.3))


def test_the_false_discovery_rate_agrees_with_scipy_and_with_a_hand() -> None:
    assert benjamini_hochberg(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.04, 0.04])
    p = np.random.default_rng(2).random(50)
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))
    assert len(benjamini_hochberg(np.array([]))) == 0
