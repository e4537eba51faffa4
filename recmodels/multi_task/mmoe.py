"""MMoE: experts that all tasks share, mixed by a gate of each task's own."""

import torch
from pydantic import Field
from torch import Tensor, nn

from recmodels.layers.dropout import Dropout
from recmodels.layers.parallel import ParallelLinear
from recmodels.multi_task._contract import Sharing
from recmodels.parts import PartConfig


class MultiTask(Sharing):
    """A softmax over the experts for each task. With one expert it is the shared bottom.

    Source: Ma et al. 2018 (MMoE).
    """

    class Config(PartConfig):
        """Settings of MMoE."""

        num_experts: int = Field(4, ge=1)
        """E."""
        expert_dim: int = Field(64, ge=1)
        """Size of an expert, one layer."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of zeros after the experts, while training."""

    def __init__(self, in_dim: int, num_tasks: int, config: Config) -> None:
        super().__init__(in_dim, num_tasks, config)
        self.experts = ParallelLinear(config.num_experts, in_dim, config.expert_dim)
        self.gates = ParallelLinear(num_tasks, in_dim, config.num_experts)
        self.dropout = Dropout(config.dropout)
        self.out_dim = config.expert_dim

    def forward(self, states: Tensor) -> Tensor:
        """Return each task's mixture of the experts."""
        experts = self.dropout(nn.functional.relu(self.experts(states)))  # (N, E, O)
        gates: Tensor = self.gates(states).softmax(dim=-1)  # (N, T, E)
        return torch.bmm(gates, experts)
