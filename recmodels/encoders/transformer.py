"""A causal transformer over the items of a history."""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.attention import AttentionBlock, Block, causal_mask
from recmodels.layers.dropout import Dropout


class TransformerEncoder(SequenceEncoder):
    """Attention over the items before, block after block.

    Positions are counted from the end, so that padding on the left and longer batches change nothing. Source:
    Kang and McAuley 2018, section III, with normalisation before each half (their equation 9 puts it there too) and
    GELU. A padded position sees only itself.

    Args:
        embedding_dim: D.
        num_layers: Blocks.
        num_heads: Must divide D.
        max_length: Longest history.
        dropout: Share of zeros while training.

    Attributes:
        prefix: Makes (B, P, D) vectors of a number of rows B, which stand before each history and which every position
            sees, padding too; None for none, unless `recmodels.adaptation` sets one.
    """

    block: ClassVar[Callable[..., AttentionBlock]] = Block

    def __init__(self, embedding_dim: int, *, num_layers: int, num_heads: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.scale = embedding_dim**0.5
        self.positions = nn.Parameter(torch.empty(max_length, embedding_dim))
        nn.init.normal_(self.positions, std=0.02)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            self.block(embedding_dim, num_heads=num_heads, dropout=dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embedding_dim)
        self.prefix: nn.Module | None = None

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode every position of at most `max_length`."""
        return self._encode(vectors, is_item, last=vectors.shape[1])

    def last(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode the last position alone, (B, D); the last block then computes nothing else."""
        return self._encode(vectors, is_item, last=1)[:, 0]

    @property
    def kept_numbers(self) -> int:
        """What the blocks keep a position."""
        blocks = cast("list[AttentionBlock]", list(self.blocks))
        return sum(block.kept_numbers(len(self.positions)) for block in blocks)

    def _encode(self, vectors: Tensor, is_item: Tensor, *, last: int) -> Tensor:
        length = vectors.shape[1]
        positions = self.positions[:length].flip(0) * is_item[:, :, None]
        states = self.dropout(vectors * self.scale + positions)  # (B, L, D)
        if self.prefix is not None:
            before = self.prefix(len(states))  # (B, P, D)
            states = torch.cat([before, states], dim=1)  # (B, P + L, D)
            is_item = nn.functional.pad(is_item, (before.shape[1], 0), value=True)
        may_attend = causal_mask(is_item)
        for number, block in enumerate(self.blocks, start=1):
            wanted = last if number == len(self.blocks) else states.shape[1]
            states = block(states, may_attend, last=wanted)
        encoded: Tensor = self.norm(states)  # (B, M, D)
        return encoded
