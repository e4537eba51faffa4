"""The tables of a ranker: what every item, category and piece of a query is to it, as vectors."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.data.vocabulary import PADDING, UNKNOWN
from recmodels.layers.item_table import ItemTable
from recmodels.ranking.examples import FeatureSpec
from recmodels.ranking.inputs import Inputs

_SPREAD = 0.1
"""Of a vector at first."""


class Vectors(NamedTuple):
    """What was looked up of N exposures under R histories; its fields are the inputs of the exported graph.

    Attributes:
        item: (N, D).
        fields: (N, C', D) of the categorical columns and, where the data has one, the query.
        numbers: (N, F).
        surfaces: (N,) int64.
        duration: (N,) seconds or NaN.
        history: (R, L, D), padded on the left.
        is_item: (R, L) bool; False for padding.
        request: (N,) int64, which history is whose; None where R is N and row n is n's.
    """

    item: Tensor
    fields: Tensor
    numbers: Tensor
    surfaces: Tensor
    duration: Tensor
    history: Tensor
    is_item: Tensor
    request: Tensor | None


class Embeddings(nn.Module):
    """One table of items for candidates and histories, one of all categorical columns, one of pieces of queries.

    A query is the mean of its pieces, and row 0 where there is none. While training, a share of the candidates, the
    categories and the surfaces is shown as unknown, so that an unknown one means an average one, not a random vector.

    Args:
        spec: Sizes of the tables.
        embedding_dim: D.
        unknown_share: Share of values that training hides.
    """

    def __init__(self, spec: FeatureSpec, embedding_dim: int, *, unknown_share: float) -> None:
        super().__init__()
        self.unknown_share = unknown_share
        self.items = table(spec.num_items, embedding_dim)
        self.categories = table(max(sum(spec.cardinalities), 1), embedding_dim)
        self.queries = table(spec.query_buckets + 1, embedding_dim) if spec.query_buckets else None
        offsets = list(accumulate(spec.cardinalities, initial=0))[:-1]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        self.num_fields = len(spec.cardinalities) + (self.queries is not None)

    offsets: Tensor

    def forward(self, inputs: Inputs) -> Vectors:
        """Look everything up, on the device of the tables."""
        device = self.offsets.device
        arrays = (inputs.items, inputs.categorical, inputs.surfaces, inputs.queries, inputs.histories)
        items, categorical, surfaces, queries, histories = (torch.from_numpy(ids).to(device) for ids in arrays)
        items = self._hidden(items, UNKNOWN)
        fields = [self.categories.vectors(self._hidden(categorical, 0) + self.offsets)]
        if self.queries is not None:
            fields.append(self._mean(self.queries.vectors(queries), queries > 0)[:, None])
        return Vectors(
            item=self.items.vectors(items),
            fields=torch.cat(fields, dim=1),
            numbers=torch.from_numpy(inputs.numbers).to(device),
            surfaces=self._hidden(surfaces, 0),
            duration=torch.from_numpy(inputs.duration).to(device),
            history=self.items.vectors(histories),
            is_item=histories != PADDING,
            request=None if inputs.is_own else torch.from_numpy(inputs.request).to(device),
        )

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the tables as arrays, (rows, D) each."""
        tables = {"items": self.items, "categories": self.categories, "queries": self.queries}
        return {name: one.weight.detach().cpu().numpy().copy() for name, one in tables.items() if one is not None}

    def _hidden(self, ids: Tensor, unknown: int) -> Tensor:
        if not self.training or not self.unknown_share:
            return ids
        is_hidden = torch.rand(ids.shape, device=ids.device) < self.unknown_share
        return ids.masked_fill(is_hidden, unknown)

    def _mean(self, pieces: Tensor, is_piece: Tensor) -> Tensor:
        """Return the mean of the pieces (N, Q, D) that are there, (N, D); row 0 of the table where none is."""
        assert self.queries is not None, "only a query has pieces"
        count = is_piece.sum(dim=1, keepdim=True)  # (N, 1)
        mean = (pieces * is_piece[:, :, None]).sum(dim=1) / count.clamp(min=1)
        none = self.queries.vectors(torch.zeros_like(count[:, 0]))
        return torch.where(count > 0, mean, none)


def table(rows: int, embedding_dim: int) -> ItemTable:
    """Return a table whose vectors are small at first, so that what is rarely seen says little."""
    made = ItemTable(rows, embedding_dim)
    nn.init.normal_(made.weight, std=_SPREAD)
    return made
