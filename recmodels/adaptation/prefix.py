"""Soft prefixes: trained vectors that stand before every history of a frozen transformer."""

from typing import cast

import torch
from torch import Tensor, nn


class SoftPrefix(nn.Module):
    """P vectors, made of the surface's own vector by a small network.

    Source: Wu et al. 2022 (PPR), section 3.2, whose prompts come of a two-layer network; the network rather than free
    vectors is Li and Liang 2021, section 4.3. Ours begins at a prefix of zeros of the size of the states.

    Args:
        embedding_dim: D.
        length: P.
        hidden: Size of the surface's vector and of the hidden layer.
    """

    def __init__(self, embedding_dim: int, *, length: int, hidden: int) -> None:
        super().__init__()
        self.length = length
        self.surface = nn.Parameter(torch.empty(hidden))
        nn.init.normal_(self.surface)
        self.network = nn.Sequential(
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, length * embedding_dim),
        )
        last = cast("nn.Linear", self.network[-1])
        nn.init.normal_(last.weight, std=0.1 * hidden**-0.5)
        nn.init.zeros_(last.bias)

    def forward(self, batch: int) -> Tensor:
        """Return the prefix once a row, (B, P, D)."""
        prefix: Tensor = self.network(self.surface)
        return prefix.view(1, self.length, -1).expand(batch, -1, -1)
