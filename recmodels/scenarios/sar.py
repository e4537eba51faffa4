"""SAR-Net's experts: some that all surfaces share and some of one surface, mixed by a gate."""

import torch
from pydantic import Field
from torch import Tensor, nn

from recmodels.layers.parallel import ParallelLinear
from recmodels.parts import PartConfig
from recmodels.scenarios._contract import ScenarioAdapter, Sizes, Surface, chosen


class Scenario(ScenarioAdapter):
    """An exposure sees the shared experts and those of its surface.

    The gate is a softmax of the state and the surface's vector. Source: Shen et al. 2021 (SAR-Net), the mixture of
    debias experts; their transformation of the embeddings by the scenario is left to the gates of `pepnet`.
    """

    class Config(PartConfig):
        """Settings of SAR-Net's experts."""

        num_shared: int = Field(3, ge=1)
        """Experts of all surfaces."""
        num_own: int = Field(1, ge=1)
        """Experts of each surface."""
        expert_dim: int = Field(64, ge=1)
        """Size of an expert, one layer."""

    def __init__(self, sizes: Sizes, config: Config) -> None:
        super().__init__(sizes, config)
        self.shared = ParallelLinear(config.num_shared, sizes.states, config.expert_dim)
        self.own = ParallelLinear(sizes.surfaces * config.num_own, sizes.states, config.expert_dim)
        self.gate = nn.Linear(sizes.states + sizes.embedding_dim, config.num_shared + config.num_own)
        self.num_own = config.num_own
        self.out_dim = config.expert_dim

    def states(self, states: Tensor, fields: Tensor, surface: Surface) -> Tensor:
        """Return the mixture of the experts."""
        own = chosen(self.own(states).unflatten(1, (-1, self.num_own)), surface.numbers)  # (N, own, O)
        experts = nn.functional.relu(torch.cat([self.shared(states), own], dim=1))
        gate = self.gate(torch.cat([states, surface.vectors], dim=1)).softmax(dim=-1)
        return torch.bmm(gate[:, None], experts)[:, 0]
