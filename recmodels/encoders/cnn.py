"""Dilated causal convolutions over the items of a history."""

from typing import cast

import torch
from torch import Tensor, nn

from recmodels.encoders._contract import SequenceEncoder
from recmodels.layers.dropout import Dropout


class CausalConvolution(nn.Module):
    """One matrix product of each position with the `kernel_size - 1` before it that are `dilation` apart.

    Args:
        embedding_dim: D.
        kernel_size: W, positions that take part.
        dilation: How far apart they are.
    """

    def __init__(self, embedding_dim: int, *, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.reach = [dilation * step for step in range(kernel_size)]
        self.weights = nn.Linear(kernel_size * embedding_dim, embedding_dim)

    def forward(self, states: Tensor, is_item: Tensor) -> Tensor:
        """Return (B, L, D); padding counts as zeros, as does what lies before a row."""
        length, widest = states.shape[1], self.reach[-1]
        padded = nn.functional.pad(states * is_item[:, :, None], (0, 0, widest, 0))  # (B, L + widest, D)
        seen = torch.cat([padded[:, start : start + length] for start in self.reach], dim=2)  # (B, L, W D)
        convolved: Tensor = self.weights(seen)
        return convolved


class ConvolutionBlock(nn.Module):
    """Two dilated convolutions, each normalised and rectified, added to what came in.

    Source: Yuan, Karatzoglou, Arapakis, Jose and He 2019, figure 3b.

    Args:
        embedding_dim: D.
        kernel_size: Of both.
        dilation: Of the first; the second's is twice that.
        dropout: Share of zeros in what is added.
    """

    def __init__(self, embedding_dim: int, *, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.near = CausalConvolution(embedding_dim, kernel_size=kernel_size, dilation=dilation)
        self.near_norm = nn.LayerNorm(embedding_dim)
        self.far = CausalConvolution(embedding_dim, kernel_size=kernel_size, dilation=2 * dilation)
        self.far_norm = nn.LayerNorm(embedding_dim)
        self.dropout = Dropout(dropout)

    @property
    def kept_numbers(self) -> int:
        """What a position keeps for the backward pass: both convolutions' inputs, and about 8 vectors."""
        return 2 * self.near.weights.in_features + 8 * self.near.weights.out_features

    def forward(self, states: Tensor, is_item: Tensor) -> Tensor:
        """Return the new states, (B, L, D)."""
        near = self.near_norm(self.near(states, is_item)).relu()
        far = self.far_norm(self.far(near, is_item)).relu()
        result: Tensor = states + self.dropout(far)
        return result


class CnnEncoder(SequenceEncoder):
    """Blocks whose dilation doubles from one convolution to the next: 1, 2, then 4, 8, and so on.

    With W positions a convolution and n blocks, a position knows (W - 1) (4^n - 1) items before its own. Source: Yuan,
    Karatzoglou, Arapakis, Jose and He 2019 (NextItNet). We normalise what comes out once more, so that the blocks'
    sum does not grow with their number, and drop what each block adds while training.

    Args:
        embedding_dim: D.
        num_layers: n, blocks.
        kernel_size: W.
        dropout: Share of zeros while training.
    """

    def __init__(self, embedding_dim: int, *, num_layers: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.scale = embedding_dim**0.5
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            ConvolutionBlock(embedding_dim, kernel_size=kernel_size, dilation=4**number, dropout=dropout)
            for number in range(num_layers)
        )
        self.norm = nn.LayerNorm(embedding_dim)

    def forward(self, vectors: Tensor, is_item: Tensor) -> Tensor:
        """Encode every position."""
        states = self.dropout(vectors * self.scale)  # (B, L, D)
        for block in self.blocks:
            states = block(states, is_item)
        encoded: Tensor = self.norm(states)
        return encoded

    @property
    def kept_numbers(self) -> int:
        """What the blocks keep a position."""
        return sum(cast("ConvolutionBlock", block).kept_numbers for block in self.blocks)
