"""How much of what was shown each creator had, and how far that is from the share that it is due."""

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.reranking.facts import MISSING, Facts

_LARGEST = 1e100


class Exposures:
    """Counts the places that creators had in the lists of one ranker; older lists count less and less.

    Args:
        facts: Of the catalogue.
        merit_power: A creator's share grows with this power of one more than its training interactions.
        memory: Lists after which a place counts 1/e.
    """

    def __init__(self, facts: Facts, *, merit_power: float, memory: float) -> None:
        creators, counts = facts.creators[FIRST_ITEM:], facts.counts[FIRST_ITEM:]
        is_known = creators != MISSING
        merit = np.bincount(creators[is_known], weights=counts[is_known], minlength=facts.num_creators) + 1.0
        self._targets = merit**merit_power
        self._targets /= max(self._targets.sum(), 1.0)
        self._shown = np.zeros(facts.num_creators)
        self._total = 0.0
        self._memory, self._weight, self._growth = memory, 1.0, float(np.exp(1 / memory))
        self._creators = facts.creators

    def deficits(self, columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return which part of its share the creator of each item lacks, 0 to 1.

        All are 0 before the first list, and so are those of items without a creator.
        """
        creators = self._creators[columns]
        if self._total == 0:
            return np.zeros(len(creators))
        lacking = np.maximum(0.0, 1.0 - self._shown[creators] / (self._targets[creators] * self._total))
        lacking[creators == MISSING] = 0.0
        return lacking

    def recall(self, columns: NDArray[np.int32], lists_ago: NDArray[np.int64]) -> None:
        """Begin anew with what was shown before, in the state that showing it list by list would have left.

        Args:
            columns: ``(E,)`` every place of every list.
            lists_ago: ``(E,)`` how many lists came after the place's own.
        """
        creators = self._creators[columns]
        is_known = creators != MISSING
        weights = np.exp(-lists_ago[is_known] / self._memory)
        self._shown = np.zeros(len(self._shown))
        np.add.at(self._shown, creators[is_known], weights)
        self._total, self._weight = float(self._shown.sum()), self._growth

    def inherit(self, other: "Exposures", *, creators: int) -> None:
        """Begin anew with the counts of the first `creators` creators, who have the same numbers there."""
        self._shown = np.zeros(len(self._shown))
        self._shown[:creators] = other._shown[:creators]
        self._total, self._weight = float(self._shown.sum()), other._weight

    def show(self, columns: NDArray[np.int32]) -> None:
        """Count one list."""
        creators = self._creators[columns]
        creators = creators[creators != MISSING]
        np.add.at(self._shown, creators, self._weight)
        self._total += self._weight * len(creators)
        self._weight *= self._growth  # the newest list counts more, rather than every older one less
        if self._weight > _LARGEST:
            self._shown /= self._weight
            self._total /= self._weight
            self._weight = 1.0
