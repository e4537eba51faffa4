"""What every scenario adapter is: by the surface, it may change the fields before a backbone and the state after."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from recmodels.parts import PartConfig


class Sizes(NamedTuple):
    """What an adapter is built for.

    Attributes:
        surfaces: S; surface 0 is one that was never seen.
        fields: K, embeddings of an exposure.
        embedding_dim: D, of each, the surface's own vector included.
        states: H, size of the backbone's state.
    """

    surfaces: int
    fields: int
    embedding_dim: int
    states: int


class Surface(NamedTuple):
    """Where each exposure is shown.

    Attributes:
        numbers: (N,) int64, below S.
        vectors: (N, D) its embedding, which is also one of the fields.
    """

    numbers: Tensor
    vectors: Tensor


class ScenarioAdapter(nn.Module):
    """A plug-in's ``Scenario``; the identity unless it says otherwise.

    Every surface's weights are computed for all rows and chosen afterwards: a handful of surfaces is one product of
    matrices, and rows of all surfaces go through one graph.

    Args:
        sizes: Of what comes in.
        config: An instance of the plug-in's own `Config`.

    Attributes:
        out_dim: Size of what `states` returns.
    """

    Config: ClassVar[type[PartConfig]]
    out_dim: int

    def __init__(self, sizes: Sizes, config: Any) -> None:
        super().__init__()
        self.out_dim = sizes.states

    def fields(self, fields: Tensor, surface: Surface) -> Tensor:
        """Return (N, K, D), what the backbone is given of (N, K, D)."""
        return fields

    def states(self, states: Tensor, fields: Tensor, surface: Surface) -> Tensor:
        """Return (N, out_dim), what the tasks are given of the backbone's (N, H) and the fields (N, K, D)."""
        return states


def chosen(values: Tensor, index: Tensor) -> Tensor:
    """Return values[n, index[n]] of (N, S, ...) for every row, (N, ...)."""
    places = index.view(-1, *[1] * (values.dim() - 1)).expand(-1, 1, *values.shape[2:])
    return torch.gather(values, 1, places)[:, 0]
