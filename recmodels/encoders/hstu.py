"""Attention without softmax, gated number by number, that knows how far apart events are, in positions and in time."""

from typing import cast

import torch
from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.attention import causal_mask
from recmodels.layers.dropout import Dropout
from recmodels.layers.relative import RelativeBias, time_buckets


class HstuBlock(nn.Module):
    """Pointwise attention whose result, normalised, is multiplied by a gate; it has no network of its own after that.

    Source: Zhai et al. 2024, equations 1 to 3. Queries, keys, values and the gate go through SiLU, as do the weights
    of attention, which are divided by the number of items that a position may see: the paper divides by the longest
    length, which the normalisation after it takes out again but for small histories, where it leaves little to
    normalise.

    Args:
        embedding_dim: D.
        num_heads: H, must divide D.
        max_length: Longest history.
        has_time: Whether time counts beside the position.
        dropout: Share of zeros in what the block adds.
    """

    def __init__(self, embedding_dim: int, *, num_heads: int, max_length: int, has_time: bool, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(embedding_dim)
        self.gate_query = nn.Linear(embedding_dim, 2 * embedding_dim)
        self.key_value = nn.Linear(embedding_dim, 2 * embedding_dim)
        self.bias = RelativeBias(max_length, has_time=has_time)
        self.seen_norm = nn.LayerNorm(embedding_dim)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(embedding_dim, embedding_dim)

    def forward(self, states: Tensor, share: Tensor, distances: Tensor, buckets: Tensor | None, *, last: int) -> Tensor:
        """Return the new states of the last positions only.

        Args:
            states: (B, L, D).
            share: (B, 1, M or L, L) one over the number of items that the row's position sees; 0 for those that it does
                not. Of this and the next two, the last M rows are used.
            distances: (M or L, L), see `RelativeBias`.
            buckets: (B, M or L, L) or None, see `RelativeBias`.
            last: M, how many positions from the end are wanted; L for all.

        Returns:
            (B, M, D).
        """
        normed = self.norm(states)
        gate, queries = nn.functional.silu(self.gate_query(normed[:, -last:])).chunk(2, dim=-1)
        keys, values = nn.functional.silu(self.key_value(normed)).chunk(2, dim=-1)
        scores = self._heads(queries) @ self._heads(keys).transpose(2, 3)  # (B, H, M, L)
        bias = self.bias(distances[-last:], None if buckets is None else buckets[:, -last:])
        weights = nn.functional.silu(scores + bias) * share[:, :, -last:]
        seen = (weights @ self._heads(values)).transpose(1, 2).flatten(2)  # (B, M, D)
        result: Tensor = states[:, -last:] + self.output(self.dropout(gate * self.seen_norm(seen)))
        return result

    def kept_numbers(self, length: int) -> int:
        """Return about 20 vectors, and the weights of attention before and after SiLU and once they are shared."""
        return 20 * self.output.in_features + 3 * self.num_heads * length

    def _heads(self, states: Tensor) -> Tensor:
        batch, length, _ = states.shape
        return states.reshape(batch, length, self.num_heads, -1).transpose(1, 2)


class HstuEncoder(SequenceEncoder):
    """Blocks of pointwise attention.

    Positions have no vectors: order and time enter through what attention adds for each pair of events. A padded
    position sees only itself. The time between two events of the history is all that is used of time: neither the
    moment of the request nor that of a target is known to the encoder. What comes out is normalised once more, as
    in the other encoders. Source: Zhai et al. 2024 (HSTU).

    Args:
        embedding_dim: D.
        num_layers: Blocks.
        num_heads: Must divide D.
        max_length: Longest history.
        uses_time: Whether time counts beside the position.
        dropout: Share of zeros while training.
    """

    def __init__(
        self,
        embedding_dim: int,
        *,
        num_layers: int,
        num_heads: int,
        max_length: int,
        uses_time: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.uses_time = uses_time
        self.max_length = max_length
        self.scale = embedding_dim**0.5
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            HstuBlock(embedding_dim, num_heads=num_heads, max_length=max_length, has_time=uses_time, dropout=dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embedding_dim)

    def forward(self, vectors: Tensor, is_item: Tensor, times: Tensor | None = None) -> Tensor:
        """Encode every position of at most `max_length`."""
        return self._encode(vectors, is_item, times, last=vectors.shape[1])

    def last(self, vectors: Tensor, is_item: Tensor, times: Tensor | None = None) -> Tensor:
        """Encode the last position alone, (B, D); the last block then computes nothing else."""
        return self._encode(vectors, is_item, times, last=1)[:, 0]

    @property
    def kept_numbers(self) -> int:
        """What the blocks keep a position, and the pairs' shares and buckets, which they have in common."""
        blocks = cast("list[HstuBlock]", list(self.blocks))
        pairs = (3 if self.uses_time else 1) * self.max_length
        return pairs + sum(block.kept_numbers(self.max_length) for block in blocks)

    def _encode(self, vectors: Tensor, is_item: Tensor, times: Tensor | None, *, last: int) -> Tensor:
        length = vectors.shape[1]
        rows = slice(None) if len(self.blocks) > 1 else slice(-last, None)  # what the first block is asked for
        may_attend = causal_mask(is_item)[:, :, rows]
        share = may_attend / may_attend.sum(dim=-1, keepdim=True)  # (B, 1, M, L)
        places = torch.arange(length, device=vectors.device)
        distances = (places[rows, None] - places).clamp(min=0)
        buckets = None
        if self.uses_time:
            assert times is not None, "this encoder needs the times of events"
            buckets = time_buckets(times, rows=rows)
        states = self.dropout(vectors * self.scale)  # (B, L, D)
        for number, block in enumerate(self.blocks, start=1):
            wanted = last if number == len(self.blocks) else length
            states = block(states, share, distances, buckets, last=wanted)
        encoded: Tensor = self.norm(states)  # (B, M, D)
        return encoded
