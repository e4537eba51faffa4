"""Weighted means of the items of a history, through a small network: order counts by age alone."""

import torch
from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.dropout import Dropout


class PooledEncoder(SequenceEncoder):
    """A few means of the items so far, each weighting ages in its own learned way, added up and bent by two layers.

    Mean h begins with weights of (1 + age)^-h: mean 0 is the plain one, the last one is mostly the latest items. What
    comes out is their sum plus what two layers make of them, as in the user tower of Covington, Adams and Sargin 2016,
    section 3.3, with weights by age.

    Args:
        embedding_dim: D.
        hidden_dim: H, size of the layer between.
        num_means: How many means are taken.
        max_length: Longest history.
        dropout: Share of zeros while training, in the items and between the layers.
    """

    def __init__(self, embedding_dim: int, *, hidden_dim: int, num_means: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.scale = embedding_dim**0.5
        ages = torch.arange(1, max_length + 1).log()
        self.ages = nn.Parameter(-torch.arange(num_means)[:, None] * ages)  # (K, L) logarithms of weights
        self.dropout = Dropout(dropout)
        self.inner = nn.Linear(num_means * embedding_dim, hidden_dim)
        self.outer = nn.Linear(hidden_dim, embedding_dim)

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode every position of at most `max_length`."""
        places = torch.arange(vectors.shape[1], device=vectors.device)
        age = places[:, None] - places  # (L, L) of the column, seen from the row
        weights = self.ages.exp()[:, age.clamp(min=0)] * (age >= 0)  # (K, L, L)
        return self._bent(self._means(weights, vectors, is_item))

    def last(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode the last position alone, (B, D)."""
        weights = self.ages[:, : vectors.shape[1]].flip(1).exp()[:, None]  # (K, 1, L)
        return self._bent(self._means(weights, vectors, is_item))[:, 0]

    @property
    def kept_numbers(self) -> int:
        """The items before and after dropout, the means twice, and the layer between three times."""
        return 4 * self.outer.out_features + 3 * self.inner.in_features + 3 * self.inner.out_features

    def _means(self, weights: Tensor, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Return the means by weights (K, M, L), (B, M, K, D); zeros where nothing came before."""
        states = self.dropout(vectors * self.scale) * is_item[:, :, None]  # (B, L, D)
        sums = torch.matmul(weights, states[:, None])  # (B, K, M, D)
        total = torch.matmul(weights, is_item[:, None, :, None].to(weights.dtype))  # (B, K, M, 1)
        return (sums / torch.where(total > 0, total, 1.0)).transpose(1, 2)

    def _bent(self, means: Tensor) -> Tensor:
        bent = self.outer(self.dropout(nn.functional.gelu(self.inner(means.flatten(2)))))
        encoded: Tensor = means.mean(dim=2) + bent  # (B, M, D)
        return encoded
