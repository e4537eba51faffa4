"""What a bundle costs to serve: the time to one list, and its size."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.ranker import Ranker

_RANKINGS = 16
_EVENTS_A_RANKING = 4
_SLOW_ENOUGH = 3
"""Lists after which a model that needs seconds for each has shown enough."""


@dataclass(frozen=True)
class Footprint:
    """What one bundle costs.

    Attributes:
        median_seconds: Median time to one list, asked one at a time.
        bundle_bytes: Size of its files; nothing in them is compressed, so that memory is about as large.
    """

    median_seconds: float
    bundle_bytes: int


def measure_footprint(
    ranker: Ranker, *, clock: Callable[[], float], k: int = 10, patience_seconds: float = 1.0
) -> Footprint:
    """Rank for histories of 0, 4, 8, ... popular items, one at a time.

    Args:
        ranker: The bundle, as it would serve.
        clock: Seconds that only grow.
        k: Length of the lists.
        patience_seconds: Once so much time has gone, three lists are enough.
    """
    bundle = ranker.bundle
    order = np.argsort(-bundle.item_counts[FIRST_ITEM:], kind="stable") + FIRST_ITEM
    popular = bundle.vocabulary.decode(order[: _RANKINGS * _EVENTS_A_RANKING]).tolist()
    seconds: list[float] = []
    for number in range(_RANKINGS):
        if len(seconds) >= _SLOW_ENOUGH and sum(seconds) > patience_seconds:
            break
        began = clock()
        ranker.recommend(popular[: number * _EVENTS_A_RANKING], k=k)
        seconds.append(clock() - began)
    sizes = (path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    return Footprint(median(seconds), sum(sizes))
