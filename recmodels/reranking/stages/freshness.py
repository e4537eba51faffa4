"""Freshness: what was published lately moves up."""

import numpy as np
from pydantic import Field

from recmodels.reranking.contract import StageConfig, ordered
from recmodels.reranking.pool import Draft, Pool


class Stage:
    """Adds to an item's value what halves with its age."""

    class Config(StageConfig):
        """How much age counts."""

        strength: float = Field(0.2, ge=0, le=10)
        """Added to the value, 0 to 1, of an item as new as the newest of the catalogue; 0 keeps the order as it is."""
        half_life_days: float = Field(7.0, gt=0)
        """Age, in days, at which half of it is added. Ages are told from the catalogue's newest item rather than from
        the clock, so that the same request gets the same list."""

    def __init__(self, config: "Stage.Config") -> None:
        self._strength = config.strength
        self._rate = -np.log(2.0) / config.half_life_days

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:  # noqa: ARG002 - the whole order is new
        """Return the draft in its new order; an item without a date of publication gets nothing added."""
        gains = self._strength * np.exp(self._rate * pool.facts.ages[pool.columns])
        gains[np.isnan(gains)] = 0.0
        return ordered(draft, draft.values + gains)
