"""What the registry and the trainer know of a model; free of torch."""

from typing import ClassVar, Protocol, Self

from recmodels.models import ModelConfig
from recmodels.scorers import Scorer
from recmodels.training.data import TrainingData


class Model(Protocol):
    """A plug-in's ``Model``: built from its configuration and the vocabulary's size, exported to what is served.

    It is a `ClosedFormModel`, or derives from `recmodels.models._gradient.GradientModel`.
    """

    Config: ClassVar[type[ModelConfig]]

    def export(self) -> Scorer:
        """Return what is served, which is also what is evaluated."""
        ...


class ClosedFormModel(Model, Protocol):
    """A model that is computed from the training data in one go."""

    def fit(self, data: TrainingData) -> Self:
        """Compute the model from the training histories and return it."""
        ...
