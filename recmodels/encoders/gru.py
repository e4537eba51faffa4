"""A gated recurrent network over the items of a history."""

import torch
from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.dropout import Dropout

_KEPT_OF_A_STEP = 12
"""Hidden vectors that a step keeps for the backward pass: three gates before and after, their parts, the states."""


class GruEncoder(SequenceEncoder):
    """One state that every item updates; it begins as a learned vector, which is what an empty history is.

    Source: Hidasi, Karatzoglou, Baltrunas and Tikk 2016, section 3, trained on whole sequences rather than on
    session-parallel steps. Rows are turned so that their items come first and padding last, where it cannot reach an
    item: a state that had gone through padding would differ with how much of it there was. ONNX has one operator for
    the whole recurrence, of any length, and the exporter uses it.

    Args:
        embedding_dim: D.
        hidden_dim: H, size of the state.
        num_layers: Recurrences on top of each other.
        dropout: Share of zeros while training, in what each layer reads and in the last state.
    """

    def __init__(self, embedding_dim: int, *, hidden_dim: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0  # torch warns of dropout between layers where there is one
        self.start = nn.Parameter(torch.zeros(num_layers, 1, hidden_dim))
        self.layers = nn.GRU(embedding_dim, hidden_dim, num_layers, batch_first=True, dropout=between)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden_dim, embedding_dim)
        self.scale = embedding_dim**0.5

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode every position."""
        return self._encode(vectors, is_item, is_item.cumsum(dim=1))

    def last(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode the last position alone, (B, D)."""
        return self._encode(vectors, is_item, is_item.sum(dim=1, keepdim=True))[:, 0]

    @property
    def kept_numbers(self) -> int:
        """The vectors in and out, and what each layer keeps a step."""
        hidden = self.layers.num_layers * _KEPT_OF_A_STEP * self.layers.hidden_size
        return 4 * self.layers.input_size + hidden

    def _encode(self, vectors: Tensor, is_item: Tensor, seen: Tensor) -> Tensor:
        """Return the states after the first `seen` items of each row, (B, M) -> (B, M, D)."""
        batch, length, _ = vectors.shape
        padding = length - is_item.sum(dim=1, keepdim=True)  # (B, 1)
        places = (torch.arange(length, device=vectors.device) + padding).clamp(max=length - 1)  # (B, L)
        turned = _at(self.dropout(vectors * self.scale), places)  # (B, L, D)
        states, _ = self.layers(turned, self.start.expand(-1, batch, -1).contiguous())  # (B, L, H)
        reached = torch.where(seen[:, :, None] > 0, _at(states, (seen - 1).clamp(min=0)), self.start[-1])  # (B, M, H)
        encoded: Tensor = self.output(self.dropout(reached))
        return encoded


def _at(states: Tensor, places: Tensor) -> Tensor:
    """Return the rows' vectors at these places, (B, L, D) and (B, M) -> (B, M, D)."""
    return states.gather(1, places[:, :, None].expand(-1, -1, states.shape[2]))
