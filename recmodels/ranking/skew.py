"""Whether what was served can be computed once more: scores of logged lists, from histories read again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recmodels.bundle import Bundle
from recmodels.errors import BundleError
from recmodels.ranking.features import FeatureBuilder
from recmodels.ranking.shown import RankingRequest


@dataclass(frozen=True)
class LoggedList:
    """A list that a second stage ranked.

    Attributes:
        request: What was known at its moment; later events of the history are left out.
        item_ids: As shown.
        scores: The utility that was logged of each.
    """

    request: RankingRequest
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Skew:
    """How far served and recomputed scores are apart.

    Attributes:
        lists: How many were compared.
        items: How many scores.
        largest: Largest difference relative to 1 and the score; 0 where nothing was compared.
        differing: Lists with a score further apart than `tolerance`.
        tolerance: Of float32 sums in another order.
    """

    lists: int
    items: int
    largest: float
    differing: int
    tolerance: float

    @property
    def is_skewed(self) -> bool:
        """Whether any list differs."""
        return self.differing > 0


def score_skew(bundle: Bundle, logged: Sequence[LoggedList], *, tolerance: float = 1e-4) -> Skew:
    """Score logged lists by the code of training, item by item, and compare.

    Attributes of a user are not logged, so a ranker whose features name some shows them here as a difference.

    Args:
        bundle: Which served all of them.
        logged: The lists, fallbacks left out.
        tolerance: Differences up to it are rounding.

    Raises:
        BundleError: The bundle has no second stage.
    """
    release, model = bundle.manifest.ranking, bundle.ranking
    if release is None or model is None:
        raise BundleError(f"bundle {bundle.digest[:12]} has no second stage, so that none of its lists can be checked.")
    builder, tasks = FeatureBuilder(model.state), model.scorer.spec.tasks
    apart = []
    for one in logged:
        found = model.scorer.score(builder.for_request(one.request, one.item_ids))
        watch = found.watch if release.utility.watch else None
        again = release.utility.score(found.probabilities, watch, tasks=tasks)
        apart.append(float((np.abs(again - one.scores) / (1 + np.abs(again))).max(initial=0.0)))
    return Skew(
        lists=len(logged),
        items=sum(len(one.item_ids) for one in logged),
        largest=max(apart, default=0.0),
        differing=sum(not value <= tolerance for value in apart),
        tolerance=tolerance,
    )
