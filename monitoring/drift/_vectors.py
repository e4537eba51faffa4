"""Figures of what is consumed as vectors: where the day's items lie, and how far apart.

The vectors are those of one bundle, chosen once (the anchors), so that a retrained model, whose space is turned, is no
drift.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.drift._rows import Rows
from monitoring.drift.series import Array, Scale, Series


@dataclass(frozen=True, eq=False)
class Anchors:
    """Item vectors that stay the same whatever serves.

    Attributes:
        item_ids: (N,) raw ids.
        vectors: (N, D) float32; their lengths do not matter.
        name: Where they come from, such as the digest of a bundle.
    """

    item_ids: NDArray[np.str_]
    vectors: NDArray[np.float32]
    name: str = ""


def vector_series(rows: Rows, anchors: Anchors, *, history_days: int) -> Iterator[Series]:
    """Yield the distance of each day's mean direction from that of the first days, and the spread around it.

    Args:
        rows: One row an event or impression; items without an anchor do not count.
        anchors: Item vectors.
        history_days: First days, whose mean direction is the origin.
    """
    order = np.argsort(anchors.item_ids)
    place = np.minimum(np.searchsorted(anchors.item_ids[order], rows.items.names), len(order) - 1)
    is_known = anchors.item_ids[order][place] == rows.items.names  # (V,)
    lengths = np.linalg.norm(anchors.vectors, axis=1, keepdims=True)
    unit = (anchors.vectors / np.where(lengths > 0, lengths, 1.0))[order][place]  # (V, D)
    keep = is_known[rows.items.codes]
    count = rows.by_day(keep)
    sums = _sums(rows, unit, keep)  # (days, D)
    mean = sums / np.maximum(count, 1.0)[:, None]
    origin = sums[:history_days].sum(axis=0) / max(1.0, count[:history_days].sum())
    squared = (mean**2).sum(axis=1)
    spread = np.where(count > 1, 1.0 - squared, np.nan)
    shift = np.where(count > 1, np.linalg.norm(mean - origin, axis=1), np.nan)
    about = "distance of the day's mean item vector from that of the first days, on fixed anchors"
    yield Series("embedding_shift", "catalogue", Scale.LEVEL, shift, count, about=about)
    about = "spread of the day's item vectors around their mean, on fixed anchors"
    yield Series("embedding_spread", "catalogue", Scale.LEVEL, spread, count, about=about)


def _sums(rows: Rows, unit: NDArray[np.floating], keep: NDArray[np.bool_]) -> Array:
    """Return the sum of the items' vectors by day, (days, D), from counts of (day, item) pairs."""
    size = len(unit)
    pairs, count = np.unique(rows.day[keep] * size + rows.items.codes[keep], return_counts=True)
    day, item = np.divmod(pairs, size)
    bounds = np.searchsorted(day, np.arange(len(rows.days)))
    weighted = unit[item] * count[:, None]
    sums = np.zeros((len(rows.days), unit.shape[1]))
    filled = np.flatnonzero(np.bincount(day, minlength=len(rows.days)))
    if len(filled):
        sums[filled] = np.add.reduceat(weighted, bounds[filled], axis=0)
    return sums
