"""Item vectors that come of ids and of content, so that an item without a past has a vector, too."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.content import CONTENT, ContentConfig
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.item_features import ItemFeatures, ItemReader
from recmodels.layers.item_table import DescribedTable

_BEGINNING = 0.1
"""Length of what content adds at first, in lengths of an id's vector: items begin apart, whatever they share."""


class ContentTable(DescribedTable):
    """The sum of an id's vector, the mean of its labels' vectors and a projection of its text.

    While training, some ids are left out each time, so that content learns to do alone. Source: Volkovs, Yu and
    Poutanen 2017 (DropoutNet). Until content is shown there are ids only.

    Args:
        vocabulary_size: V, the two special entries included.
        embedding_dim: D.
        content: What is known of items.
        id_dropout: Share of ids that are left out.
    """

    labels_of: Tensor
    texts_of: Tensor

    def __init__(self, vocabulary_size: int, embedding_dim: int, *, content: ContentConfig, id_dropout: float) -> None:
        super().__init__(vocabulary_size, embedding_dim)
        text_dim = CONTENT.build(content.text, content.text_config).embedding_dim if content.text is not None else 0
        self.labels = nn.EmbeddingBag(content.label_buckets + 1, embedding_dim, mode="mean", padding_idx=0)
        self.text = nn.Linear(text_dim, embedding_dim, bias=False) if text_dim else None
        self.config = content
        self.id_dropout = id_dropout
        for weights in (self.labels.weight, *(self.text.parameters() if self.text else ())):
            nn.init.normal_(weights, std=_BEGINNING * embedding_dim**-0.5)
        with torch.no_grad():
            self.labels.weight[0] = 0
        self.register_buffer("labels_of", torch.zeros(vocabulary_size, 1, dtype=torch.int64), persistent=False)
        self.register_buffer("texts_of", torch.zeros(vocabulary_size, text_dim), persistent=False)

    def describe(self, catalogue: pa.Table) -> None:
        """Read the labels and texts of all items, row n being that of index n + 2."""
        self.show(ItemReader(self.config, catalogue).read(catalogue))

    def vectors_from(self, items: pa.Table, *, catalogue: pa.Table) -> Tensor:
        """Return the vectors of items by their labels and texts alone, (M, D)."""
        return self.vectors_of_new(ItemReader(self.config, catalogue).read(items))

    def show(self, features: ItemFeatures) -> None:
        """Take the content of all items, row n being that of index n + 2."""
        self.labels_of = _below_specials(features.labels).to(self.weight.device)
        self.texts_of = _below_specials(features.texts).to(self.weight.device)

    @property
    def kept_numbers(self) -> int:
        """Labels and text, and each part of the sum."""
        return self.labels_of.shape[1] + self.texts_of.shape[1] + 3 * self.weight.shape[1]

    def vectors(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors of `ids` (any shape) as (..., D), or of all items as (V, D)."""
        own = super().vectors(ids)
        if self.training and self.id_dropout:
            kept = torch.rand(own.shape[:-1], device=own.device) >= self.id_dropout
            kept |= (torch.arange(len(own), device=own.device) if ids is None else ids) < FIRST_ITEM
            own = own * kept[..., None]
        labels, texts = (self.labels_of, self.texts_of) if ids is None else (self.labels_of[ids], self.texts_of[ids])
        return own + self.content(labels, texts)

    def vectors_of_new(self, features: ItemFeatures) -> Tensor:
        """Return the vectors of items without an id here, by their content alone, (M, D)."""
        device = self.weight.device
        return self.content(torch.from_numpy(features.labels).to(device), torch.from_numpy(features.texts).to(device))

    def content(self, labels: Tensor, texts: Tensor) -> Tensor:
        """Return the part of vectors that comes of content: labels (..., M) and texts (..., T) -> (..., D)."""
        vectors: Tensor = self.labels(labels.flatten(0, -2)).unflatten(0, labels.shape[:-1])
        return vectors if self.text is None else vectors + self.text(texts)


def _below_specials(rows: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.zeros((FIRST_ITEM, rows.shape[1]), rows.dtype), rows]))
