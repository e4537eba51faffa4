"""Shared bottom: one layer for all tasks."""

from pydantic import Field
from torch import Tensor

from recmodels.layers.dropout import Dropout
from recmodels.layers.parallel import ReluTower
from recmodels.multi_task._contract import Sharing
from recmodels.parts import PartConfig


class MultiTask(Sharing):
    """Every task gets the same state. Source: Caruana 1997."""

    class Config(PartConfig):
        """Settings of the shared bottom."""

        expert_dim: int = Field(64, ge=1)
        """Size of the layer."""
        dropout: float = Field(0.1, ge=0, lt=1)
        """Share of zeros after it, while training."""

    def __init__(self, in_dim: int, num_tasks: int, config: Config) -> None:
        super().__init__(in_dim, num_tasks, config)
        self.bottom = ReluTower(in_dim, (config.expert_dim,), dropout=Dropout(config.dropout))
        self.num_tasks = num_tasks
        self.out_dim = config.expert_dim

    def forward(self, states: Tensor) -> Tensor:
        """Return the same state for each task."""
        shared: Tensor = self.bottom(states)
        return shared[:, None].expand(-1, self.num_tasks, -1)
