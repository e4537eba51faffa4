"""Two towers for items that are seen and heard: a set of items against items of id, image, audio and text vectors."""

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from recmodels.data.vocabulary import PADDING
from recmodels.encoders.bag import BagEncoder
from recmodels.layers.item_table import ItemTable
from recmodels.layers.modality_table import Fusion, ModalityTable
from recmodels.modalities import Modality
from recmodels.models._sequence import SequenceConfig, SequenceModel
from recmodels.training.losses import SAMPLED_LOSSES, cross_entropy
from recmodels.training.rows import Rows


class Model(SequenceModel):
    """Scores an item by the inner product of its tower with what a user tower makes of the mean of a history's items.

    Every item of a history is to be found from all others of it, so that an order is neither needed nor learned; a
    history of one item is found from nothing, which teaches what is popular. The history is read through the item
    tower. Beside the retrieval loss, an item's id and its modalities are aligned (see `ModalityTable.alignment`).
    """

    class Config(SequenceConfig):
        """Settings of the towers."""

        hidden_dim: int = Field(128, ge=1)
        """Size of the layer in the user tower."""
        negatives: int = Field(1024, ge=1)
        """Items drawn for each batch; `cross_entropy` draws none."""
        modalities: tuple[Modality, ...] = ()
        """What items are known by beside their ids; none for ids alone."""
        fusion: Fusion = "sum"
        """How an item's modalities become one vector."""
        modality_dropout: float = Field(0.1, ge=0, lt=1)
        """Share of an item's modalities that are left out while training."""
        alignment: float = Field(0.0, ge=0)
        """Weight of the alignment of ids and modalities beside the retrieval loss; 0 for none."""
        temperature: float = Field(0.2, gt=0)
        """Of the alignment."""
        aligned_items: int = Field(512, ge=2)
        """Most items of a batch that are aligned at a time: their cost grows with the square."""

        @model_validator(mode="after")
        def _modalities_are_apart(self) -> "Model.Config":
            names = [modality.name for modality in self.modalities]
            if len(set(names)) < len(names):
                raise ValueError(f"modalities are called {', '.join(names)}; give each a name of its own")
            if self.content is not None:
                raise ValueError("content is read by two_tower; give texts as a modality with a text encoder")
            if self.alignment and not self.modalities:
                raise ValueError("alignment needs modalities beside the id; give some, or set alignment to 0")
            return self

        @model_validator(mode="after")
        def _content_is_left(self) -> "Model.Config":
            if self.id_dropout and not self.modalities:
                raise ValueError(
                    f"id_dropout {self.id_dropout:g} leaves nothing of an item; set modalities, or id_dropout to 0"
                )
            return self

        def build_table(self, vocabulary_size: int) -> ItemTable:
            """Return a new item tower."""
            if not self.modalities:
                return ItemTable(vocabulary_size, self.embedding_dim)
            return ModalityTable(
                vocabulary_size,
                self.embedding_dim,
                modalities=self.modalities,
                fusion=self.fusion,
                modality_dropout=self.modality_dropout,
                id_dropout=self.id_dropout,
            )

        def build_encoder(self) -> BagEncoder:
            """Return the user tower."""
            return BagEncoder(self.embedding_dim, hidden_dim=self.hidden_dim, dropout=self.dropout)

    config: Config
    encoder: BagEncoder
    training_fields: ClassVar[frozenset[str]] = SequenceModel.training_fields | {
        "alignment",
        "aligned_items",
        "modality_dropout",
        "temperature",
    }

    def loss(self, rows: Rows) -> Tensor:
        """Return the mean loss of finding every item of the rows from the others, and of the alignment.

        The first column is padding, or the first event of a row that goes on: input only.
        """
        is_item = rows.items != PADDING
        states = self.encoder.others(self.items.vectors(rows.items), is_item)[:, 1:]  # (B, L, D)
        query, target = states[is_item[:, 1:]], rows.items[:, 1:][is_item[:, 1:]]  # (P, D), (P,)
        if self.config.loss == "cross_entropy":
            loss = cross_entropy(query, target, self.items)
        else:
            loss = SAMPLED_LOSSES[self.config.loss](query, target, self.items, self.negatives(target))
        if not self.config.alignment or not isinstance(self.items, ModalityTable):
            return loss
        distinct = torch.unique(target)
        chosen = distinct[torch.randperm(len(distinct), device=distinct.device)[: self.config.aligned_items]]
        return loss + self.config.alignment * self.items.alignment(chosen, temperature=self.config.temperature)
