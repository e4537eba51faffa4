import numpy as np
import pytest

from monitoring.drift.series import Scale, Series


def series(scale: Scale, values, rows=100.0, **options) -> Series:
    values = np.asarray(values, dtype=np.float64)
    return Series("x", "data", scale, values, np.full(len(values), rows), **options)


def test_share_is_anscombes_arcsine_when_scaled():
    one = series(Scale.SHARE, [0.0, 0.25, 1.0], rows=400.0)
    expected = [np.arcsin(np.sqrt(x)) for x in (0.375 / 400.75, 100.375 / 400.75, 400.375 / 400.75)]
    assert one.scaled() == pytest.approx(expected)
    assert one.floor() == pytest.approx([1 / 40] * 3)
    assert one.unscaled(np.pi / 6) == pytest.approx(0.25)


def test_share_noise_is_its_floor_when_rows_are_independent():
    drawn = np.random.default_rng(0).binomial(500, 0.04, size=20_000) / 500
    one = series(Scale.SHARE, drawn, rows=500.0)
    assert one.scaled().std() == pytest.approx(one.floor()[0], rel=0.05)


def test_amount_is_a_logarithm_when_scaled():
    one = series(Scale.AMOUNT, [1.0, np.e], errors=np.asarray([0.1, 0.1 * np.e]))
    assert one.scaled() == pytest.approx([0, 1], abs=1e-6)
    assert one.floor() == pytest.approx([0.1, 0.1])
    assert one.unscaled(1.0) == pytest.approx(np.e)


def test_volume_has_a_logarithm_when_it_is_zero():
    one = series(Scale.AMOUNT, [0.0], rows=0.0, is_volume=True)
    assert one.scaled() == pytest.approx([np.log(0.5)])
    assert np.isfinite(one.floor()).all()


def test_level_is_itself_when_scaled():
    one = series(Scale.LEVEL, [3.5, np.nan], errors=np.asarray([0.1, np.nan]))
    assert one.scaled() == pytest.approx([3.5, np.nan], nan_ok=True)
    assert one.floor() == pytest.approx([0.1, 0.0])
    assert one.unscaled(3.5) == 3.5


def test_key_names_the_slice_when_there_is_one():
    assert series(Scale.LEVEL, [1.0]).key == "x"
    assert series(Scale.LEVEL, [1.0], slice="surface=live").key == "x[surface=live]"
