"""The base of models that are trained by gradient, apart from `_contract` because it needs torch."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.data.histories import Histories
from recmodels.data.splits import TrainPart
from recmodels.models import ModelConfig
from recmodels.scorers import Scorer
from recmodels.training.rows import Rows


class GradientModel(nn.Module, ABC):
    """A model of histories whose weights the trainer finds."""

    Config: ClassVar[type[ModelConfig]]
    training_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Config` that say how weights are found, not what they mean: a warm start may change these alone."""

    @property
    @abstractmethod
    def max_length(self) -> int:
        """L, how many of a history's last events are used."""

    @property
    def uses_time(self) -> bool:
        """Whether times of events are read; such a model has a field `time_bias` that, false, does without them."""
        return False

    @property
    def names_few_items(self) -> bool:
        """Whether the loss of a batch gives a gradient to few items of the table."""
        return False

    def prepare(self, part: TrainPart) -> None:
        """Look at the catalogue that is to be learned, before weights are trained or loaded.

        What is seen here comes of the data and is no weight: the same part shows the same.
        """

    @abstractmethod
    def loss(self, rows: Rows) -> Tensor:
        """Return the mean loss of predicting every event of the rows from those before it.

        Args:
            rows: (B, M), M at most L + 1, with times where the model `uses_time`. The last padded position stands for
                the empty history and predicts the first event; a row that fills L + 1 starts in the middle of a
                history, its first event being input only.
        """

    @abstractmethod
    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V) scores by torch, by which training watches itself; what is served comes from `export`."""

    @abstractmethod
    def export(self) -> Scorer:
        """Return what is served, equal to `score` within 1e-4."""

    @abstractmethod
    def forecast_bytes(self, batch_size: int) -> int:
        """Return about how much memory training takes, in bytes."""
