"""Calibrated recommendations: the categories of a list in the proportions of the user's history.

Source: Steck 2018, "Calibrated recommendations", equations 2 to 5, without the weights of events. The greedy step adds
the item with the largest ``(1 - s) sum(r) - s KL(p, q)``, where p are the shares of categories in the history and q
those in the list, both with an item of several categories counted for each by its part. We smooth q by a tenth of an
item with the proportions p, ``q = (held + p / 10) / (n + 1 / 10)``, where Steck mixes in a fixed share of p; for a list
of ten that is the 1 % of his experiments.

So smoothed, the gain of an item changes only when one of its own categories is shown, and then it falls. A set of
categories whose gain was the largest when it was last worked out, and of which nothing was shown since, is therefore
the best of all, and few gains are worked out more than once.
"""

from heapq import heapify, heappop, heapreplace
from math import log1p

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.reranking.contract import StageConfig, led_by
from recmodels.reranking.facts import Facts
from recmodels.reranking.pool import Draft, Pool

_SMOOTHING = 0.1


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
        wanted = shares(pool.facts, pool.history)
        if self._strength == 0 or not wanted.any():
            return draft
        return led_by(draft, self._chosen(pool, draft, wanted, count=min(k, len(draft.order))))

    def _chosen(self, pool: Pool, draft: Draft, shares_wanted: NDArray[np.float64], *, count: int) -> list[int]:
        order, columns = draft.order.tolist(), pool.columns[draft.order]
        names, queues = pool.facts.sets, _queues(pool.facts.category_sets[columns].tolist())
        values = (1 - self._strength) * draft.values[draft.order]
        first = (values + self._strength * _first_gains(pool.facts, columns, shares_wanted)).tolist()
        worths, wanted = values.tolist(), shares_wanted.tolist()
        held, shown_at = [_SMOOTHING * share for share in wanted], [-1] * len(wanted)
        heap = [(-first[queue[-1]], queue[-1], of, 0) for of, queue in queues.items()]
        heapify(heap)
        chosen: list[int] = []
        while len(chosen) < count:
            _, place, of, since = heap[0]
            queue, name = queues[of], names[of]
            is_stale = False
            for category in name:
                if shown_at[category] >= since:
                    is_stale = True
            if not is_stale:
                chosen.append(order[queue.pop()])
                for category in name:
                    held[category] += 1 / len(name)
                    shown_at[category] = len(chosen)
                if not queue:
                    heappop(heap)
                    continue
                place = queue[-1]
            worth = worths[place] + self._strength * _gain(name, wanted, held)
            heapreplace(heap, (-worth, place, of, len(chosen) + 1))
        return chosen


def _queues(sets: list[int]) -> dict[int, list[int]]:
    """Return the places of each set of categories, the best last."""
    queues: dict[int, list[int]] = {}
    for place in range(len(sets) - 1, -1, -1):
        of = sets[place]
        if of in queues:
            queues[of].append(place)
        else:
            queues[of] = [place]
    return queues


def _gain(of: tuple[int, ...], wanted: list[float], held: list[float]) -> float:
    """Return what one more item with these categories takes from the divergence."""
    gain = 0.0
    for category in of:
        if share := wanted[category]:
            gain += share * log1p(1 / (len(of) * held[category]))
    return gain


def _first_gains(facts: Facts, columns: NDArray[np.int32], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each item would take from the divergence of an empty list, (n,)."""
    shares_of = np.append(wanted, 0.0)[facts.categories[columns]]  # (n, M); -1, no category, is the last
    parts = facts.category_parts[columns][:, None]
    gains: NDArray[np.float64] = (shares_of * np.log1p(parts / (_SMOOTHING * np.maximum(shares_of, 1e-300)))).sum(
        axis=1
    )
    return gains


def shares(facts: Facts, columns: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each category among items, (categories,); all 0 where none of them has one."""
    parts = np.repeat(facts.category_parts[columns], facts.categories.shape[1])
    numbers = facts.categories[columns].ravel() + 1
    counted = np.bincount(numbers, weights=parts, minlength=facts.num_categories + 1)
    sums = counted[1:].astype(np.float64, copy=False)
    total = float(sums.sum())
    if total > 0:
        sums /= total
    return sums
