"""The one place in a model that knows its items."""

from abc import abstractmethod

import pyarrow as pa
import torch
from torch import Tensor, nn


class ItemTable(nn.Module):
    """A vector for each item id, shared by the input and the output of a model.

    Args:
        vocabulary_size: V, the two special entries included; row 0 is the vector that starts a history.
        embedding_dim: D.

    Attributes:
        has_sparse_gradient: The gradient of `vectors(ids)` holds the rows that were named rather than all.
    """

    def __init__(self, vocabulary_size: int, embedding_dim: int) -> None:
        super().__init__()
        self.has_sparse_gradient = False
        self.weight = nn.Parameter(torch.empty(vocabulary_size, embedding_dim))
        nn.init.normal_(self.weight, std=embedding_dim**-0.5)

    @property
    def kept_numbers(self) -> int:
        """About how many numbers a vector that is looked up keeps for the backward pass, beside itself."""
        return 0

    def vectors(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors of `ids` (any shape) as (..., D), or of all items as (V, D)."""
        return (
            self.weight if ids is None else nn.functional.embedding(ids, self.weight, sparse=self.has_sparse_gradient)
        )


class DescribedTable(ItemTable):
    """A table that knows more of items than their ids, so that an item without a past has a vector, too."""

    @abstractmethod
    def describe(self, catalogue: pa.Table) -> None:
        """Read what is known of all items, schema `ITEMS`, row n being that of index n + 2; it is no weight."""

    @abstractmethod
    def vectors_from(self, items: pa.Table, *, catalogue: pa.Table) -> Tensor:
        """Return the vectors of items without an id here, by what is known of them, (M, D).

        Args:
            items: Schema `ITEMS`.
            catalogue: What `describe` was given: it tells again what is common.
        """
