"""A new model's figures beside its predecessors': their spread is borrowed, their level is not.

A model's scores, calibration and slates have a level of their own. Its figures learn that level in its first days; the
days of earlier models are then moved to it, so that they still say how much the figure varies from day to day.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from monitoring.drift.series import Array, Scale, Series

OWN_DAYS = 14
"""Days of its own after which a model's figures are judged."""


def align(series: Series, begins: Sequence[int], *, own_days: int = OWN_DAYS) -> Series:
    """Return a series in which earlier models' days are moved to the level of the newest model's first days.

    With fewer than `own_days` days of the newest model that have a value, its own days alone are left: the figure is
    then in learning. A figure with a memory tells of two models until the memory is the newest one's: those days are
    left out.

    Args:
        series: A figure over D days.
        begins: Numbers of the days on which another model began, ascending; the first model's may be left out.
        own_days: Days of its own that the newest model needs.
    """
    starts = [0, *(day for day in begins if 0 < day < len(series.values))]
    newest = starts[-1]
    if newest == 0:
        return series
    days = np.arange(len(series.values))
    is_mixed = np.logical_or.reduce([(days >= one) & (days < one + series.memory_days) for one in starts[1:]])
    series = replace(series, values=np.where(is_mixed, np.nan, series.values))
    scaled = series.scaled()
    own = scaled[newest:][np.isfinite(scaled[newest:])]
    if len(own) < own_days:
        return replace(series, values=np.where(days < newest, np.nan, series.values))
    level = float(np.median(own[:own_days]))
    moved = scaled.copy()
    for start, end in pairwise(starts):
        part = scaled[start:end]
        if np.isfinite(part).any():
            moved[start:end] = part - float(np.nanmedian(part)) + level
    values = np.where(days < newest, _natural(series, moved), series.values)
    return replace(series, values=values)


def _natural(series: Series, scaled: Array) -> Array:
    """Return values of the judged scale in natural units, (D,), so that scaling them gives the same again."""
    if series.scale is Scale.LEVEL:
        return scaled
    if series.scale is Scale.AMOUNT:
        return np.exp(scaled) - (0.5 if series.is_volume else 1e-9)
    share = np.sin(np.clip(scaled, 0.0, np.pi / 2)) ** 2
    rows = np.maximum(series.rows, 1.0)
    return np.asarray((share * (rows + 0.75) - 0.375) / rows, dtype=np.float64)
