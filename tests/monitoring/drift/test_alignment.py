from dataclasses import replace

import numpy as np
import pytest

from monitoring.drift.alignment import align
from monitoring.drift.series import Scale, Series


def series(values: list[float], scale: Scale = Scale.LEVEL) -> Series:
    return Series("figure", "model", scale, np.array(values, dtype=float), np.full(len(values), 1000.0))


def test_a_series_stays_as_it_is_when_no_other_model_began() -> None:
    one = series([1, 2, 3])
    assert align(one, [], own_days=1) is one
    assert align(one, [0], own_days=1) is one
    assert align(one, [7], own_days=1) is one


def test_earlier_days_are_moved_to_the_newest_models_level() -> None:
    moved = align(series([1, 2, 3, 11, 10, 12]), [3], own_days=3)
    assert moved.values.tolist() == [10, 11, 12, 11, 10, 12]


def test_amounts_are_moved_by_their_ratio() -> None:
    moved = align(series([1, 2, 4, 200, 200], Scale.AMOUNT), [3], own_days=2)
    assert moved.values == pytest.approx([100, 200, 400, 200, 200])


def test_shares_stay_shares_and_keep_their_spread_on_the_judged_scale() -> None:
    one = series([0.1, 0.12, 0.08, 0.5, 0.52, 0.48], Scale.SHARE)
    moved = align(one, [3], own_days=3)
    assert np.diff(moved.scaled()[:3]) == pytest.approx(np.diff(one.scaled()[:3]))
    assert float(np.median(moved.values[:3])) == pytest.approx(0.5)


def test_only_own_days_are_left_when_they_are_too_few() -> None:
    moved = align(series([1, 2, 3, 11, np.nan, 12]), [3], own_days=3)
    assert np.isnan(moved.values[:3]).all()
    assert moved.values[[3, 5]].tolist() == [11, 12]


def test_each_earlier_model_is_moved_by_its_own_median() -> None:
    moved = align(series([1, 1, 5, 5, 9, 9]), [2, 4], own_days=2)
    assert moved.values.tolist() == [9] * 6


def test_days_that_tell_of_two_models_are_left_out_when_a_figure_looks_back() -> None:
    looks_back = replace(series([1, 2, 3, 50, 60, 11, 10, 12]), memory_days=2)
    assert align(looks_back, [3], own_days=3).values.tolist() == [
        10,
        11,
        12,
        *[pytest.approx(np.nan, nan_ok=True)] * 2,
        11,
        10,
        12,
    ]
    waiting = align(looks_back, [3], own_days=4).values
    assert np.isnan(waiting[:5]).all()
    assert waiting[5:].tolist() == [11, 10, 12]
