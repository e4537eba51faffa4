"""Maximal marginal relevance: each place goes to what is relevant and unlike what stands above it.

Source: Carbonell and Goldstein 1998. Relevance and the negative of the largest similarity are weighed by 1 - strength
and strength.
"""

import numpy as np
from pydantic import Field

from recmodels.reranking.contract import StageConfig, led_by
from recmodels.reranking.pool import Draft, Pool


class Stage:
    """Chooses greedily by relevance less the similarity to the nearest item chosen."""

    class Config(StageConfig):
        """How much unlikeness counts."""

        strength: float = Field(0.3, ge=0, le=1)
        """Weight of unlikeness, 0 to 1; 0 keeps the order as it is, 1 ignores relevance after the first item."""

    def __init__(self, config: "Stage.Config") -> None:
        self._strength = config.strength

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return the draft with k items chosen."""
        size = pool.num_retrieved
        worth = ((1 - self._strength) * draft.values[:size]).astype(np.float32)
        likeness = np.float32(self._strength) * pool.similarity
        best = int(draft.order[0])
        chosen = [best]
        nearest = likeness[best].copy()
        margin = np.empty_like(worth)
        worth[best] = -np.inf
        for _ in range(min(k, len(draft.order)) - 1):
            np.subtract(worth, nearest, out=margin)
            best = int(margin.argmax())
            chosen.append(best)
            np.maximum(nearest, likeness[best], out=nearest)
            worth[best] = -np.inf
        return led_by(draft, chosen)
