"""PLE: experts of all tasks beside experts of one task, in levels."""

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from recmodels.layers.dropout import Dropout
from recmodels.layers.parallel import ParallelLinear
from recmodels.multi_task._contract import Sharing
from recmodels.parts import PartConfig


class MultiTask(Sharing):
    """Levels of shared and own experts; a task's gate sees its own and the shared ones, the shared gate sees all.

    With one level, one shared expert and none of a task's own it is the shared bottom. Source: Tang et al. 2020
    (PLE); a gate is given what came in at its level.
    """

    class Config(PartConfig):
        """Settings of PLE."""

        num_levels: int = Field(1, ge=1)
        """1 is their CGC."""
        num_shared: int = Field(2, ge=0)
        """Experts that all tasks share, at each level."""
        num_own: int = Field(1, ge=0)
        """Experts that each task has for itself, at each level."""
        expert_dim: int = Field(64, ge=1)
        """Size of an expert, one layer."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of zeros after the experts, while training."""

        @model_validator(mode="after")
        def _has_experts(self) -> "MultiTask.Config":
            if not self.num_shared + self.num_own:
                raise ValueError("num_shared 0 and num_own 0 leave a task no expert; set one of them to 1 or more")
            if self.num_levels > 1 and not self.num_shared:
                raise ValueError(f"num_levels {self.num_levels} needs shared experts to extract from; set num_shared")
            return self

    def __init__(self, in_dim: int, num_tasks: int, config: Config) -> None:
        super().__init__(in_dim, num_tasks, config)
        sizes = [in_dim] + [config.expert_dim] * (config.num_levels - 1)
        self.levels = nn.ModuleList(
            _Level(size, num_tasks, config, is_last=number == config.num_levels)
            for number, size in enumerate(sizes, start=1)
        )
        self.num_tasks = num_tasks
        self.out_dim = config.expert_dim

    def forward(self, states: Tensor) -> Tensor:
        """Return each task's state after the last level."""
        tasks, shared = states[:, None].expand(-1, self.num_tasks, -1), states
        for level in self.levels:
            tasks, shared = level(tasks, shared)
        return tasks


class _Level(nn.Module):
    """One CGC module: states of the tasks (N, T, I) and of what they share (N, I) in, both with O out."""

    def __init__(self, in_dim: int, num_tasks: int, config: MultiTask.Config, *, is_last: bool) -> None:
        super().__init__()
        shared, own, out = config.num_shared, config.num_own, config.expert_dim
        self.num_own = own
        self.shared = ParallelLinear(shared, in_dim, out) if shared else None
        self.own = ParallelLinear(num_tasks * own, in_dim, out) if own else None
        self.gates = ParallelLinear(num_tasks, in_dim, shared + own)
        self.shared_gate = None if is_last else nn.Linear(in_dim, shared + num_tasks * own)
        self.dropout = Dropout(config.dropout)

    def forward(self, tasks: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        count = tasks.shape[1]
        seen: list[Tensor] = []  # (N, T, experts, O) by what a task sees
        every: list[Tensor] = []  # (N, experts, O)
        if self.shared is not None:
            experts = self.dropout(nn.functional.relu(self.shared(shared)))  # (N, S, O)
            seen.append(experts[:, None].expand(-1, count, -1, -1))
            every.append(experts)
        if self.own is not None:
            inputs = tasks.repeat_interleave(self.num_own, dim=1) if self.num_own > 1 else tasks
            own = self.dropout(nn.functional.relu(self.own(inputs)))  # (N, T * own, O)
            seen.append(own.unflatten(1, (count, self.num_own)))
            every.append(own)
        gates = self.gates(tasks).softmax(dim=-1)[:, :, None]  # (N, T, 1, S + own)
        mixed = (gates @ torch.cat(seen, dim=2))[:, :, 0]  # (N, T, O)
        if self.shared_gate is None:
            return mixed, shared
        gate = self.shared_gate(shared).softmax(dim=-1)[:, None]  # (N, 1, S + T * own)
        return mixed, (gate @ torch.cat(every, dim=1))[:, 0]
