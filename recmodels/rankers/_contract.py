"""What every backbone of a ranker is: the fields of an exposure in, one state out."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from recmodels.parts import PartConfig


class RankingBackbone(nn.Module, ABC):
    """A plug-in's ``Backbone``: lets the fields of an exposure interact; rows know nothing of each other.

    Args:
        num_fields: K, embeddings of an exposure.
        embedding_dim: D, of each.
        num_numbers: F, numeric columns; may be 0.
        config: An instance of the plug-in's own `Config`.

    Attributes:
        out_dim: H, size of a state.
    """

    Config: ClassVar[type[PartConfig]]
    out_dim: int

    @abstractmethod
    def __init__(self, num_fields: int, embedding_dim: int, num_numbers: int, config: Any) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, fields: Tensor, numbers: Tensor) -> Tensor:
        """Return the states.

        Args:
            fields: (N, K, D).
            numbers: (N, F).

        Returns:
            (N, H).
        """
