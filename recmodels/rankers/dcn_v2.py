"""DCN-V2: explicit crosses of all fields beside a deep tower."""

import torch
from pydantic import Field
from torch import Tensor, nn

from recmodels.layers.dropout import Dropout
from recmodels.layers.parallel import ReluTower
from recmodels.parts import PartConfig
from recmodels.rankers._contract import RankingBackbone


class Backbone(RankingBackbone):
    """Cross layers of low rank and a deep tower side by side, both from all fields and numbers joined.

    A cross layer is x' = x0 * (U V' x + b) + x. Source: Wang et al. 2021 (DCN V2), the cross network
    of low rank in the parallel structure. Their mixture of low-rank experts is left out.
    """

    class Config(PartConfig):
        """Settings of DCN-V2."""

        cross_layers: int = Field(2, ge=0)
        """Each doubles the order of the crosses."""
        cross_rank: int = Field(32, ge=1)
        """r, columns of U and V; from the width of the input on they are one full matrix."""
        deep_dims: tuple[int, ...] = (128, 64)
        """Sizes of the deep tower's layers; none leaves the crosses alone."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of zeros after each deep layer, while training."""

    def __init__(self, num_fields: int, embedding_dim: int, num_numbers: int, config: Config) -> None:
        super().__init__(num_fields, embedding_dim, num_numbers, config)
        width = num_fields * embedding_dim + num_numbers
        self.crosses = nn.ModuleList(_cross(width, config.cross_rank) for _ in range(config.cross_layers))
        self.deep = ReluTower(width, config.deep_dims, dropout=Dropout(config.dropout))
        self.out_dim = width + (self.deep.out_dim if config.deep_dims else 0)
        self._is_deep = bool(config.deep_dims)

    def forward(self, fields: Tensor, numbers: Tensor) -> Tensor:
        """Return crosses and deep states, joined."""
        first = torch.cat([fields.flatten(1), numbers], dim=1)  # (N, KD + F)
        crossed = first
        for cross in self.crosses:
            crossed = first * cross(crossed) + crossed
        return torch.cat([crossed, self.deep(first)], dim=1) if self._is_deep else crossed


def _cross(width: int, rank: int) -> nn.Module:
    if rank >= width:
        return nn.Linear(width, width)
    return nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))
