"""The mean of the items of a history, through a small network: a set, in which order counts for nothing."""

from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.dropout import Dropout


class BagEncoder(SequenceEncoder):
    """The mean of the items so far, plus what two layers make of it; an empty history has a learned vector.

    Args:
        embedding_dim: D.
        hidden_dim: H, size of the layer between.
        dropout: Share of zeros while training, in the mean.
    """

    def __init__(self, embedding_dim: int, *, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.scale = embedding_dim**0.5
        self.dropout = Dropout(dropout)
        self.inner = nn.Linear(embedding_dim, hidden_dim)
        self.outer = nn.Linear(hidden_dim, embedding_dim)

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode the items up to every position."""
        sums = (vectors * is_item[:, :, None]).cumsum(dim=1)
        return self._bent(sums, is_item.to(vectors.dtype).cumsum(dim=1))

    def last(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode all items, (B, D)."""
        return self._bent((vectors * is_item[:, :, None]).sum(dim=1), is_item.to(vectors.dtype).sum(dim=1))

    def others(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode, at every position, all items of the row but its own, (B, L, D)."""
        present = vectors * is_item[:, :, None]
        counts = is_item.to(vectors.dtype)
        return self._bent(present.sum(dim=1, keepdim=True) - present, counts.sum(dim=1, keepdim=True) - counts)

    @property
    def kept_numbers(self) -> int:
        """The items, their mean before and after dropout, and the layer between three times."""
        return 5 * self.inner.in_features + 3 * self.inner.out_features

    def _bent(self, sums: Tensor, counts: Tensor) -> Tensor:
        mean = self.dropout(sums / counts.clamp(min=1)[..., None] * self.scale)
        encoded: Tensor = mean + self.outer(nn.functional.gelu(self.inner(mean)))
        return encoded
