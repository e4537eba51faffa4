import numpy as np
import pytest

from monitoring.drift._scores import fit_calibrator


def test_rates_never_fall_with_the_score() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(5000)
    calibrator = fit_calibrator(scores, (rng.random(5000) < scores).astype(float))
    assert calibrator is not None
    assert (np.diff(calibrator.rates) >= 0).all()
    assert calibrator.predict(np.array([0.05, 0.5, 0.95])) == pytest.approx([0.05, 0.5, 0.95], abs=0.05)


def test_a_violation_is_pooled_when_a_higher_bin_has_a_lower_rate() -> None:
    scores = np.repeat(np.arange(20.0), 10)
    reward = np.zeros(200)
    reward[:10] = 1  # the lowest bin is the only one with clicks
    calibrator = fit_calibrator(scores, reward)
    assert calibrator is not None
    assert calibrator.rates == pytest.approx(np.full(20, 10 / 200))


def test_a_score_that_is_not_finite_foretells_nothing() -> None:
    calibrator = fit_calibrator(np.arange(40.0), np.ones(40))
    assert calibrator is not None
    assert np.isnan(calibrator.predict(np.array([np.nan, np.inf]))).all()


def test_nothing_is_learned_from_too_few_impressions() -> None:
    assert fit_calibrator(np.arange(19.0), np.ones(19)) is None
