"""A model of one's own: an item is worth its events, each of which counts half after some days."""

from datetime import timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.models import ModelConfig
from recmodels.scorers import StaticScorer
from recmodels.training.data import TrainingData


class Model:
    """Scores an item by its events, the newer the more."""

    class Config(ModelConfig):
        """Settings; a recipe may give each, and an unknown one is refused."""

        half_life_days: float = Field(14.0, gt=0)
        """An event this many days before the training part ends counts half."""

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        self.config = config
        self.scores: NDArray[np.float32] = np.zeros(vocabulary_size, dtype=np.float32)

    def fit(self, data: TrainingData) -> Self:
        """Add up the weights of each item's events."""
        _, items = data.train.flat()
        moments = data.train.timestamps[data.train.positions()]
        age = data.until.timestamp() - moments / 1_000_000  # seconds
        half_life = timedelta(days=self.config.half_life_days).total_seconds()
        weights = np.bincount(items, weights=0.5 ** (age / half_life), minlength=data.vocabulary.size)
        weights[:FIRST_ITEM] = 0
        self.scores = weights.astype(np.float32)
        return self

    def export(self) -> StaticScorer:
        """Return what a bundle holds and the gateway serves."""
        return StaticScorer(self.scores)
