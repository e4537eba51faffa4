"""What all sequence models share: after every event of a history, an encoder's vector is to find the next item."""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from recmodels.content import ContentConfig
from recmodels.data.histories import Histories
from recmodels.data.splits import TrainPart
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.content_table import ContentTable
from recmodels.layers.item_table import DescribedTable, ItemTable
from recmodels.models import ModelConfig
from recmodels.models._gradient import GradientModel
from recmodels.scorers import EncoderScorer, known_items
from recmodels.training.export import export_encoder
from recmodels.training.losses import SAMPLED_LOSSES, cross_entropy
from recmodels.training.negatives import Negatives, uniform_negatives
from recmodels.training.rows import Rows
from recmodels.training.softmax import SCORES_AT_ONCE

_FLOAT_BYTES = 4


class SequenceConfig(ModelConfig):
    """Settings of every sequence model."""

    embedding_dim: int = Field(64, ge=1)
    """D, size of every vector."""
    max_length: int = Field(50, ge=1)
    """L, how many of a history's last events are used."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of zeros while training."""
    loss: Literal["sampled_softmax", "cross_entropy", "bce", "gbce"] = "sampled_softmax"
    """Against the whole catalogue (`cross_entropy`), or against `negatives` items drawn uniformly for each batch."""
    negatives: int = Field(256, ge=1)
    """Items drawn for each batch; `cross_entropy` draws none."""
    content: ContentConfig | None = None
    """What items are known by beside their ids; None for ids alone."""
    id_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of ids that are left out while training, so that content learns to do alone; 0 without `content`."""

    @model_validator(mode="after")
    def _content_is_left(self) -> "SequenceConfig":
        if self.id_dropout and self.content is None:
            raise ValueError(
                f"id_dropout {self.id_dropout:g} leaves nothing of an item; set content, or id_dropout to 0"
            )
        return self

    def build_table(self, vocabulary_size: int) -> ItemTable:
        """Return a new table of item vectors, random where it is not content."""
        if self.content is None:
            return ItemTable(vocabulary_size, self.embedding_dim)
        return ContentTable(vocabulary_size, self.embedding_dim, content=self.content, id_dropout=self.id_dropout)

    @abstractmethod
    def build_encoder(self) -> SequenceEncoder:
        """Return a new encoder with random weights, for histories of `max_length` and vectors of `embedding_dim`."""


class SequenceModel(GradientModel):
    """Scores an item by the inner product of its vector with the encoded history.

    The objective is the shifted sequence: every event is predicted from those before it. Source: Kang and McAuley
    2018, section III-D. Items have one vector each, as input and as output.

    Args:
        config: Of the model; it builds the encoder.
        vocabulary_size: V, the two special entries included.
    """

    Config: ClassVar[type[SequenceConfig]]
    training_fields: ClassVar[frozenset[str]] = frozenset({"dropout", "id_dropout", "loss", "negatives"})

    def __init__(self, config: SequenceConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.items = config.build_table(vocabulary_size)
        self.encoder = config.build_encoder()

    @property
    def max_length(self) -> int:
        """L: a training row holds at most one event more, the last target."""
        return self.config.max_length

    @property
    def uses_time(self) -> bool:
        """Whether the encoder reads times."""
        return self.encoder.uses_time

    @property
    def names_few_items(self) -> bool:
        """Sampled losses do."""
        return self.config.loss in SAMPLED_LOSSES

    def prepare(self, part: TrainPart) -> None:
        """Show the item table what the catalogue says of its items."""
        if isinstance(self.items, DescribedTable):
            self.items.describe(part.items)

    def loss(self, rows: Rows) -> Tensor:
        """Return the mean loss of predicting every event of the rows from those before it, as `GradientModel` says."""
        targets = rows.items[:, 1:]
        is_target = rows.wanted
        states = self.encoder(*self._inputs(rows.before_last()))  # (B, L, D)
        query, target = states[is_target], targets[is_target]  # (P, D), (P,)
        if self.config.loss == "cross_entropy":
            return cross_entropy(query, target, self.items)
        return SAMPLED_LOSSES[self.config.loss](query, target, self.items, self.negatives(target))

    def negatives(self, target: Tensor) -> Negatives:
        """Return what stands against a batch's targets, (P,), in a sampled loss."""
        return uniform_negatives(self.config.negatives, self.vocabulary_size, device=target.device)

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V) scores by torch; what is served is `export`, this is how training watches itself."""
        recent = known_items(histories).last(self.max_length)
        length = max(int(recent.lengths.max(initial=0)), 1)
        rows = Rows.of(recent, length=length, uses_time=self.uses_time, device=self.items.weight.device)
        with torch.no_grad():
            query = self.encoder.last(*self._inputs(rows))  # (B, D)
            scores: NDArray[np.float32] = (query @ self.items.vectors().T).cpu().numpy()
        scores[:, :FIRST_ITEM] = -np.inf
        return scores

    def export(self) -> EncoderScorer:
        """Return the encoder as ONNX beside the item vectors."""
        config = self.config
        graph = export_encoder(self.encoder, embedding_dim=config.embedding_dim, max_length=config.max_length)
        with torch.no_grad():
            vectors: NDArray[np.float32] = self.items.vectors().cpu().numpy().copy()
        return EncoderScorer(graph, vectors, config.max_length)

    @property
    def most_negatives(self) -> int:
        """Items that stand against each target of a sampled loss, at most."""
        return self.config.negatives

    def forecast_bytes(self, batch_size: int) -> int:
        """Return about how much memory a training step takes, in bytes.

        Weights count four times (themselves, gradient, two moments); the encoder tells what a position keeps for the
        backward pass; a sampled loss keeps three numbers a position and item. The whole softmax has as many of some
        positions at a time only, and the item table's gradient twice more.
        """
        config = self.config
        positions = batch_size * config.max_length
        weights = 4 * sum(parameter.numel() for parameter in self.parameters())
        shown = sum(buffer.nbytes for buffer in self.buffers())
        looked_up = 2 * positions + (self.most_negatives if config.loss in SAMPLED_LOSSES else self.vocabulary_size)
        states = positions * self.encoder.kept_numbers + looked_up * self.items.kept_numbers
        if config.loss == "sampled_softmax":
            loss = 3 * SCORES_AT_ONCE + 4 * positions * config.embedding_dim
        elif config.loss in SAMPLED_LOSSES:
            loss = 3 * positions * self.most_negatives
        else:
            loss = 3 * SCORES_AT_ONCE + 2 * self.items.weight.numel()
        return shown + _FLOAT_BYTES * (weights + states + loss)

    def _inputs(self, rows: Rows) -> tuple[Tensor, ...]:
        """Return what the encoder takes: vectors, which of them are items and, where it uses them, times."""
        inputs = self.items.vectors(rows.items), rows.items != PADDING
        return inputs if rows.times is None else (*inputs, rows.times)
