"""Exposure fairness: creators who were shown less than their share move up, the more the further they are from it.

Source: Morik et al. 2020, "Controlling fairness and bias in dynamic learning-to-rank", FairCo: a proportional
controller on each group's deficit. Our groups are creators, their share is a power of what they had in training rather
than an estimate of merit, and a deficit is relative to its share, so that one strength suits small and large creators.
"""

from pydantic import Field

from recmodels.reranking.contract import StageConfig, ordered
from recmodels.reranking.pool import Draft, Pool


class Stage:
    """Adds to an item's value its creator's deficit."""

    class Config(StageConfig):
        """Which share a creator is due, and how hard the controller pulls."""

        strength: float = Field(0.2, ge=0, le=10)
        """Added to the value, 0 to 1, of an item whose creator was shown nothing of late; 0 keeps the order."""
        merit_power: float = Field(0.5, ge=0, le=1)
        """A creator's share grows with this power of its training interactions: 1 for proportion, 0 for equality."""
        memory: float = Field(10_000.0, ge=10)
        """Lists over which exposure is remembered: one that is so many lists old counts 1/e."""

    def __init__(self, config: "Stage.Config") -> None:
        self._strength = config.strength

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:  # noqa: ARG002 - the whole order is new
        """Return the draft in its new order; as it is where nobody counts exposure."""
        if pool.deficits is None or self._strength == 0:
            return draft
        return ordered(draft, draft.values + self._strength * pool.deficits)
