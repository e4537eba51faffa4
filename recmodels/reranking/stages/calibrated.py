"""Calibrated recommendations: the categories of a list in the proportions of the user's history.

Source: Steck 2018, "Calibrated recommendations", equations 2 to 5, without the weights of events. The greedy step adds
the item with the largest ``(1 - s) sum(r) - s KL(p, q)``, where p are the shares of categories in the history, q those
in the list, mixed with 1 % of p. An item of several categories counts for each by its part.

What one more item changes in the divergence are the terms of its own categories, so that a step costs a few additions
for each set of categories that leads its kind; and since such a gain only falls while a list grows, a set whose gain
was the best when it was last worked out, and still is when it is worked out again, is the best of all.
"""

from heapq import heapify, heappop, heapreplace
from math import log

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.reranking.contract import StageConfig, led_by
from recmodels.reranking.pool import Draft, Pool

_SMOOTHING = 0.01
_MISSING = -1


class Stage:
    """Chooses greedily by relevance less the divergence from the history's categories."""

    class Config(StageConfig):
        """How much proportion counts."""

        strength: float = Field(0.3, ge=0, le=1)
        """Weight of the divergence, 0 to 1; 0 keeps the order as it is."""

    def __init__(self, config: "Stage.Config") -> None:
        self._strength = config.strength

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return the draft with k items chosen; as it is where no item of the history has a category."""
        wanted = shares(pool.facts.categories[pool.history])
        if self._strength == 0 or not wanted:
            return draft
        return led_by(draft, self._chosen(pool, draft, wanted, count=min(k, len(draft.order))))

    def _chosen(self, pool: Pool, draft: Draft, wanted: dict[int, float], *, count: int) -> list[int]:
        queues = _queues(pool.facts.categories[pool.columns[draft.order]].tolist(), draft.order.tolist())
        values = ((1 - self._strength) * draft.values).tolist()
        held = dict.fromkeys(wanted, 0.0)
        # a heap of (-value, position within the draft, set of categories, length of the list it was worked out for)
        places = {position: place for place, position in enumerate(draft.order.tolist())}
        heap = [
            (-values[queue[-1]] - self._gain(of, wanted, held, 0), places[queue[-1]], of, 0)
            for of, queue in queues.items()
        ]
        heapify(heap)
        chosen: list[int] = []
        while len(chosen) < count:
            _, place, of, length = heap[0]
            queue = queues[of]
            if length < len(chosen):
                fresh = -values[queue[-1]] - self._gain(of, wanted, held, len(chosen))
                heapreplace(heap, (fresh, place, of, len(chosen)))
                continue
            chosen.append(queue.pop())
            for category in of:
                if category in held:
                    held[category] += 1 / len(of)
            if not queue:
                heappop(heap)
            else:
                fresh = -values[queue[-1]] - self._gain(of, wanted, held, len(chosen))
                heapreplace(heap, (fresh, places[queue[-1]], of, len(chosen)))
        return chosen

    def _gain(self, of: tuple[int, ...], wanted: dict[int, float], held: dict[int, float], length: int) -> float:
        """Return what one more item with these categories takes from the divergence, times the strength."""
        if not of:
            return 0.0
        part, gain = (1 - _SMOOTHING) / len(of), 0.0
        for category in of:
            share = wanted.get(category)
            if share is not None:
                before = (1 - _SMOOTHING) * held[category] + _SMOOTHING * share * (length + 1)
                gain += share * log(1 + part / before)
        return self._strength * gain


def shares(categories: NDArray[np.int32]) -> dict[int, float]:
    """Return the share of each category among items.

    Args:
        categories: (n, M) numbers, -1 for none; an item counts for each of its categories by its part.
    """
    is_known = categories != _MISSING
    counts = is_known.sum(axis=1)
    parts = np.broadcast_to(1 / np.maximum(counts, 1)[:, None], categories.shape)[is_known]
    numbers, rows = np.unique(categories[is_known], return_inverse=True)
    sums = np.bincount(rows, weights=parts, minlength=len(numbers))
    return dict(zip(numbers.tolist(), (sums / max(sums.sum(), 1e-300)).tolist(), strict=True))


def _queues(categories: list[list[int]], order: list[int]) -> dict[tuple[int, ...], list[int]]:
    """Return the positions of each set of categories, the best last."""
    queues: dict[tuple[int, ...], list[int]] = {}
    for numbers, position in zip(reversed(categories), reversed(order), strict=True):
        of = tuple(number for number in numbers if number != _MISSING)
        queues.setdefault(of, []).append(position)
    return queues
