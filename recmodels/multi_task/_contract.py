"""What every multi-task network is: one state in, a state for each task out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from recmodels.parts import PartConfig


class Sharing(nn.Module, ABC):
    """A plug-in's ``MultiTask``: decides what the tasks share of what was learned. One task is the case T = 1.

    Args:
        in_dim: H, size of a state.
        num_tasks: T.
        config: An instance of the plug-in's own `Config`.

    Attributes:
        out_dim: O, size of a task's state.
    """

    Config: ClassVar[type[PartConfig]]
    out_dim: int

    @abstractmethod
    def __init__(self, in_dim: int, num_tasks: int, config: Any) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, states: Tensor) -> Tensor:
        """Return (N, T, O) of (N, H)."""
