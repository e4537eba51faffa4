"""Calibration: planted curves come back, the order stays, few rows change little."""

from dataclasses import replace

import numpy as np
import pytest

from recmodels.ranking.calibration import Calibration
from tests.recmodels.ranking.exposures import SPEC, exposures


def planted(count, *, curves, seed=0):
    """Rows whose labels follow the sigmoid of the curve of their surface, and the logits that know nothing of it."""
    rng = np.random.default_rng(seed)
    rows = exposures(count, seed=seed)
    logits = rng.normal(-0.5, 1.5, (count, 3)).astype(np.float32)
    truth = Calibration(curves).apply(logits, rows.surfaces)
    labels = (rng.random((count, 3)) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    return replace(rows, labels=labels), logits


def curves_of(*by_surface):
    return np.stack([np.tile(np.array(curve, np.float32), (3, 1)) for curve in by_surface])


def test_a_planted_curve_of_each_surface_is_found_when_rows_suffice():
    curves = curves_of((1, 1, 0), (0.5, 0.5, 1), (2, 1, -0.5), (1, 1, 0))
    rows, logits = planted(30_000, curves=curves)
    found = Calibration.fit(rows, logits)
    np.testing.assert_allclose(found.curves[1:], curves[1:], atol=0.3)
    grid = np.linspace(-3, 2, 11, dtype=np.float32)[:, None].repeat(3, axis=1)
    for surface in (1, 2, 3):
        at = np.full(11, surface)
        expected, fitted = Calibration(curves).apply(grid, at), found.apply(grid, at)
        np.testing.assert_allclose(1 / (1 + np.exp(-fitted)), 1 / (1 + np.exp(-expected)), atol=0.02)
    assert (found.curves[0] != found.curves[1]).all()  # a surface that was never seen has the curve of all


def test_the_identity_changes_no_logit():
    logits = np.array([[-40, 0, 3]], np.float32)
    np.testing.assert_allclose(Calibration.none(SPEC).apply(logits, np.array([2])), logits, atol=1e-5)


def test_few_rows_leave_the_curve_of_the_task():
    rows, logits = planted(2000, curves=curves_of(*[(0.5, 0.5, 1)] * 4))
    rare = replace(rows, surfaces=np.where(np.arange(2000) < 60, 3, 1).astype(np.int32))
    found = Calibration.fit(rare, logits)
    np.testing.assert_array_equal(found.curves[3], found.curves[0])
    nothing = Calibration.fit(replace(rows, labels=np.full_like(rows.labels, np.nan)), logits)
    np.testing.assert_array_equal(nothing.curves, Calibration.none(SPEC).curves)


@pytest.mark.parametrize("curve", [(-1, -1, 0), (-0.5, 2, 0), (2, -0.5, 0)])
def test_a_curve_never_falls_when_labels_say_so(curve):
    rows, logits = planted(4000, curves=curves_of(*[curve] * 4))
    found = Calibration.fit(rows, logits)
    assert (found.curves[..., :2] >= 0).all()
    grid = np.linspace(-6, 6, 50, dtype=np.float32)[:, None].repeat(3, axis=1)
    for surface in range(4):
        assert (np.diff(found.apply(grid, np.full(50, surface)), axis=0) > 0).all()


def test_the_mean_probability_is_the_rate_after_fitting():
    rows, logits = planted(20_000, curves=curves_of(*[(0.6, 1.4, 0.7)] * 4))
    fitted = Calibration.fit(rows, logits).apply(logits, rows.surfaces)
    np.testing.assert_allclose((1 / (1 + np.exp(-fitted))).mean(axis=0), rows.labels.mean(axis=0), atol=1e-3)


def told(watch, watched):
    """A calibration of seconds alone."""
    rows = replace(exposures(len(watch)), watch_seconds=np.asarray(watched, np.float32))
    return Calibration.fit(rows, np.zeros((len(watch), 3), np.float32), np.asarray(watch, np.float32))


def test_seconds_are_those_watched_on_average_when_they_were_told_wrongly():
    watch = np.repeat([1.0, 2.0, 4.0], 100)
    found = told(watch, np.repeat([3.0, 9.0, 7.0], 100))  # the last two fall, and become one block: 3 told, 8 watched
    np.testing.assert_allclose(found.seconds, [[1, 3], [3, 8]])
    expected = [0, 1.5, 3, 5.5, 8, 16]
    np.testing.assert_allclose(found.apply_seconds(np.array([0, 0.5, 1, 2, 3, 6], np.float32)), expected, rtol=1e-6)


def test_seconds_keep_their_order_and_mean_when_noise_is_large():
    rng = np.random.default_rng(3)
    watch = rng.gamma(2, 10, 5000).astype(np.float32)
    watched = 2 * np.sqrt(watch) * rng.gamma(1, 1, 5000)
    found = told(watch, watched)
    meant = found.apply_seconds(np.sort(watch))
    assert (np.diff(meant) >= 0).all()
    assert (np.diff(found.seconds, axis=1) > 0).all()
    assert meant.mean() == pytest.approx(watched.mean(), rel=0.02)
    grid = np.array([5, 10, 20, 40], np.float32)
    np.testing.assert_allclose(found.apply_seconds(grid), 2 * np.sqrt(grid), rtol=0.15)


def test_seconds_stay_when_nothing_predicts_them_or_few_rows_are_known():
    unknown = np.full(80, np.nan, np.float32)
    some = np.where(np.arange(80) < 40, 3.0, np.nan)
    for found in (told(unknown, np.ones(80)), told(np.ones(80), some), told(np.zeros(80), np.ones(80))):
        assert found.seconds.shape == (2, 0)
        np.testing.assert_array_equal(found.apply_seconds(np.array([2.5, np.nan], np.float32)), [2.5, np.nan])
