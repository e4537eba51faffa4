"""Determinantal point process: the list whose items are relevant and span a large volume, found greedily.

Source: Chen, Zhang and Zhou 2018, "Fast greedy MAP inference for DPP", algorithm 1 and, with a window, the sliding
window of section 4. Their kernel is ``diag(q) S diag(q)`` with ``q = exp(a r)``, so that the log determinant of a list
is ``2 a sum(r) + log det S``: with strength s, ``a = (1 - s) / 2s``. An item's gain is ``q^2`` times the volume that it
adds to S, and we keep the two apart. The window slides by the inverse of its kernel instead of by rotations of its
Cholesky factor: one rank-1 step for what leaves, one for what comes.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.reranking.contract import StageConfig, led_by
from recmodels.reranking.pool import Draft, Pool

_LEAST_VOLUME = 1e-6
"""Below this part of its own volume, 1, an item lies within the span of those chosen, and adds nothing."""


_LEAST_STRENGTH = 0.002  # below it q^2 would underflow


class Stage:
    """Chooses greedily by the gain in log determinant."""

    class Config(StageConfig):
        """How much volume counts, and among how many neighbours."""

        strength: float = Field(0.3, ge=0, le=1)
        """Weight of the log determinant of the similarities, 0 to 1; less than 0.002 keeps the order."""
        window: int = Field(0, ge=0, le=200)
        """Items before a place that it must differ from; 0 for all of them. Vectors of D numbers span no volume of more
        than D items, so that longer lists need a window."""

    def __init__(self, config: "Stage.Config") -> None:
        self._strength = config.strength
        self._window = config.window

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return the draft with k items chosen, fewer where the others add no volume."""
        if self._strength < _LEAST_STRENGTH:
            return draft
        size, count = pool.num_retrieved, min(k, len(draft.order))
        worth = np.exp((draft.values[:size] - 1.0) * ((1 - self._strength) / self._strength))
        kernel = pool.similarity.astype(np.float64)
        if 0 < self._window < count:
            return led_by(draft, _sliding(kernel, worth, count=count, window=self._window))
        return led_by(draft, _growing(kernel, worth, count=count))


def _growing(kernel: NDArray[np.float64], worth: NDArray[np.float64], *, count: int) -> list[int]:
    factors = np.zeros((count, len(worth)))
    volumes = np.ones(len(worth))
    best = int(worth.argmax())
    chosen = [best]
    for row in range(count - 1):
        factor = factors[row]
        np.dot(factors[:row, best], factors[:row], out=factor)
        np.subtract(kernel[best], factor, out=factor)
        factor *= volumes[best] ** -0.5
        volumes -= factor * factor
        worth[best] = 0.0
        best = _best(volumes, worth)
        if best < 0:
            break
        chosen.append(best)
    return chosen


def _sliding(kernel: NDArray[np.float64], worth: NDArray[np.float64], *, count: int, window: int) -> list[int]:
    """Choose with the volume beyond the last `window` items only: ``kernel_ii - l_i' inverse l_i``."""
    size = len(worth)
    inverse, rows = np.zeros((window, window)), np.zeros((window, size))
    volumes = np.ones(size)
    best = int(worth.argmax())
    chosen = [best]
    for place in range(count - 1):
        slot = place % window
        if place >= window:  # the item of this slot leaves
            corner = inverse[slot, slot]
            volumes += np.square(inverse[slot] @ rows) / corner
            inverse -= np.outer(inverse[:, slot], inverse[slot]) / corner
            inverse[slot] = inverse[:, slot] = 0.0
            rows[slot] = 0.0
        weights = inverse @ rows[:, best]
        length = max(kernel[best, best] - weights @ rows[:, best], _LEAST_VOLUME)
        volumes -= np.square(kernel[best] - weights @ rows) / length
        weights[slot] = -1.0
        inverse += np.outer(weights, weights) / length
        rows[slot] = kernel[best]
        worth[best] = 0.0
        best = _best(volumes, worth)
        if best < 0:
            break
        chosen.append(best)
    return chosen


def _best(volumes: NDArray[np.float64], worth: NDArray[np.float64]) -> int:
    """Return the item with the largest gain; -1 where none adds volume."""
    gains = worth * volumes
    best = int(gains.argmax())
    if volumes[best] < _LEAST_VOLUME or gains[best] <= 0:
        gains[volumes < _LEAST_VOLUME] = 0.0
        best = int(gains.argmax())
    return best if gains[best] > 0 else -1
