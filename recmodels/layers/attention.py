"""Causal attention, and the pre-norm transformer block around it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from recmodels.layers.dropout import Dropout


class AttentionBlock(nn.Module, ABC):
    """The half of a block that looks at other positions; what is done with what it saw is the block's own.

    Args:
        embedding_dim: D.
        num_heads: Must divide D.
    """

    def __init__(self, embedding_dim: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(embedding_dim)
        self.query = nn.Linear(embedding_dim, embedding_dim)
        self.key_value = nn.Linear(embedding_dim, 2 * embedding_dim)
        self.output = nn.Linear(embedding_dim, embedding_dim)

    @abstractmethod
    def forward(self, states: Tensor, may_attend: Tensor, *, last: int) -> Tensor:
        """Return the new states of the last positions only.

        Args:
            states: (B, L, D).
            may_attend: (B, 1, L, L) True where the row's position may look at the column's.
            last: M, how many positions from the end are wanted; L for all.

        Returns:
            (B, M, D).
        """

    @abstractmethod
    def kept_numbers(self, length: int) -> int:
        """Return about how many numbers a position of a history of `length` keeps for the backward pass."""

    def attend(self, states: Tensor, may_attend: Tensor, *, last: int) -> Tensor:
        """Return what the heads of the last positions see, joined, (B, M, D); the arguments are those of `forward`."""
        normed = self.attention_norm(states)
        queries = self._heads(self.query(normed[:, -last:]))  # (B, H, M, D/H)
        keys, values = (self._heads(part) for part in self.key_value(normed).chunk(2, dim=-1))
        attended = _attention(queries, keys, values, may_attend[:, :, -last:])
        return attended.transpose(1, 2).flatten(2)

    def _heads(self, states: Tensor) -> Tensor:
        batch, length, _ = states.shape
        return states.reshape(batch, length, self.num_heads, -1).transpose(1, 2)


def _attention(queries: Tensor, keys: Tensor, values: Tensor, may_attend: Tensor) -> Tensor:
    """Return what each head sees, (B, H, M, D/H)."""
    if queries.dtype is torch.bfloat16 and queries.device.type == "cpu":
        # torch 2.13's fused kernel takes three times as long in bfloat16 as in float32 on a processor
        queries, keys, values = queries.float(), keys.float(), values.float()
        with torch.autocast("cpu", enabled=False):
            return nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=may_attend)
    return nn.functional.scaled_dot_product_attention(queries, keys, values, attn_mask=may_attend)


class Block(AttentionBlock):
    """Attention, then a two-layer network, each on normalised input and added to what came in.

    Args:
        embedding_dim: D.
        num_heads: Must divide D.
        dropout: Share of zeros in what each half adds.
    """

    def __init__(self, embedding_dim: int, *, num_heads: int, dropout: float) -> None:
        super().__init__(embedding_dim, num_heads=num_heads)
        self.network_norm = nn.LayerNorm(embedding_dim)
        self.network = nn.Sequential(
            nn.Linear(embedding_dim, 4 * embedding_dim),
            nn.GELU(),
            nn.Linear(4 * embedding_dim, embedding_dim),
        )
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, may_attend: Tensor, *, last: int) -> Tensor:
        """Return the new states of the last positions only."""
        seen = self.attend(states, may_attend, last=last)
        states = states[:, -last:] + self.dropout(self.output(seen))
        result: Tensor = states + self.dropout(self.network(self.network_norm(states)))
        return result

    def kept_numbers(self, length: int) -> int:
        """Return about 16 vectors and, where attention is not fused, its weights."""
        return 16 * self.query.in_features + 2 * self.num_heads * length


def causal_mask(is_item: Tensor) -> Tensor:
    """Return which position may look at which: items before it, and always itself, so that none sees nothing.

    Args:
        is_item: (B, L) bool; False for padding, which nobody else sees.

    Returns:
        (B, 1, L, L) bool.
    """
    length = is_item.shape[1]
    places = torch.arange(length, device=is_item.device)
    earlier = places[:, None] >= places[None, :]
    itself = places[:, None] == places[None, :]
    return ((earlier & is_item[:, None, :]) | itself)[:, None]
