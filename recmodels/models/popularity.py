"""The most consumed items, of all time or of the last days before the cutoff: the floor that every model must pass."""

from datetime import timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from recmodels.data.caps import latest
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.models import ModelConfig
from recmodels.scorers import StaticScorer
from recmodels.training.data import TrainingData


class Model:
    """Scores an item by its users within a window."""

    class Config(ModelConfig):
        """Settings of popularity."""

        window_days: float | None = Field(None, gt=0)
        """Count only the last so many days before the training part ends; None counts all."""
        events_per_user: int = Field(1, ge=1)
        """Most events of one user on one item that count: with 1, an item is as popular as its users are many."""

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        self.config = config
        self.scores: NDArray[np.float32] = np.zeros(vocabulary_size, dtype=np.float32)

    def fit(self, data: TrainingData) -> Self:
        """Count each item's events in the window. Items without any follow in the order of their whole count."""
        positions = data.train.positions()
        rows, items = data.train.flat()
        kept = latest(
            rows, items, maximum=self.config.events_per_user
        )  # of a user's events, the latest fall in a window
        positions, items = positions[kept], items[kept]
        counts = np.bincount(items, minlength=data.vocabulary.size).astype(np.float64)
        if self.config.window_days is not None:
            recent = data.train.timestamps[positions] >= _first_moment(data, self.config.window_days)
            in_window = np.bincount(items[recent], minlength=data.vocabulary.size)
            counts = in_window + counts / (counts.max() + 1)  # the whole count, below 1, decides between equals
        counts[:FIRST_ITEM] = 0
        self.scores = counts.astype(np.float32)
        return self

    def export(self) -> StaticScorer:
        """Return the scores, the same for everybody."""
        return StaticScorer(self.scores)


def _first_moment(data: TrainingData, window_days: float) -> int:
    from_epoch = data.until - timedelta(days=window_days)
    return round(from_epoch.timestamp() * 1_000_000)
