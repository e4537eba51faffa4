"""Two towers: a history's weighted means against items of id and content, for retrieval from large catalogues."""

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recmodels.content import ContentConfig
from recmodels.data.splits import TrainPart
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.encoders.pooled import PooledEncoder
from recmodels.models._sequence import SequenceConfig, SequenceModel
from recmodels.training.negatives import Negatives, mixed_negatives


class Model(SequenceModel):
    """Scores an item by the inner product of what a user tower makes of the history and an item tower of the item.

    Negatives are the other targets of the batch and uniform items, corrected for how often each is expected among them.
    Source: Yi et al. 2019 and, for the mixture, Yang et al. 2020; ids are left out at random so that an item without a
    past can be retrieved by its content (Volkovs, Yu and Poutanen 2017). The history is read through the item tower, so
    that there is one vector an item.
    """

    class Config(SequenceConfig):
        """Settings of the two towers."""

        hidden_dim: int = Field(128, ge=1)
        """Size of the layer in the user tower."""
        num_means: int = Field(3, ge=1)
        """Weighted means of the history that the user tower begins with; the first weighs all events alike."""
        in_batch: int = Field(512, ge=1)
        """Most targets of a batch that are negatives for the others, beside `negatives` uniform items."""
        content: ContentConfig | None = ContentConfig()
        """What items are known by beside their ids; None for ids alone."""
        id_dropout: float = Field(0.1, ge=0, lt=1)
        """Share of ids that are left out while training, so that content learns to do alone; 0 without `content`."""

        @model_validator(mode="after")
        def _loss_is_corrected(self) -> "Model.Config":
            if self.loss in ("bce", "gbce"):
                raise ValueError(
                    f"loss {self.loss!r} takes no account of how often an item is a negative, and popular ones are in "
                    "every batch; set loss to sampled_softmax or cross_entropy"
                )
            return self

        def build_encoder(self) -> PooledEncoder:
            """Return the user tower."""
            return PooledEncoder(
                self.embedding_dim,
                hidden_dim=self.hidden_dim,
                num_means=self.num_means,
                max_length=self.max_length,
                dropout=self.dropout,
            )

    config: Config
    training_fields: ClassVar[frozenset[str]] = SequenceModel.training_fields | {"in_batch"}
    frequency: Tensor

    def __init__(self, config: Config, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        even = torch.full((vocabulary_size,), 1 / max(1, vocabulary_size - FIRST_ITEM))
        self.register_buffer("frequency", even, persistent=False)

    def prepare(self, part: TrainPart) -> None:
        """Show the item tower its content, and count how often each item is a target."""
        super().prepare(part)
        counts = torch.from_numpy(part.item_counts).to(self.frequency)
        self.frequency = counts / counts.sum()

    def negatives(self, target: Tensor) -> Negatives:
        """Return targets of the batch and uniform items."""
        return mixed_negatives(target, self.frequency, most=self.config.in_batch, uniform=self.config.negatives)

    @property
    def most_negatives(self) -> int:
        """Both kinds."""
        return self.config.in_batch + self.config.negatives
