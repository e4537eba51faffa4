"""Low-rank adapters: a linear layer's weight plus a product of two narrow matrices, the only part that is trained."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_WEIGHT = "weight"


class LowRank(nn.Module):
    """Adds ``scale * up @ down`` to a weight.

    Source: Hu et al. 2021, section 4.1: `down` is drawn, `up` begins at zero, so that nothing changes before the first
    step. The sum is made once a step rather than applying both products to every position; for matrices as small as
    ours that is the cheaper order, with the same gradient.

    Args:
        weight: (O, I) of the layer.
        rank: Inner size.
        scale: Of the product.
    """

    def __init__(self, weight: Tensor, *, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, inputs, device=weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        nn.init.normal_(self.down, std=inputs**-0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight, (O, I)."""
        return weight + self.scale * (self.up @ self.down)


def add_low_rank(encoder: nn.Module, *, rank: int, scale: float) -> int:
    """Give every linear layer of an encoder an adapter, and return how many there are."""
    layers = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        parametrize.register_parametrization(layer, _WEIGHT, LowRank(layer.weight, rank=rank, scale=scale))
    return len(layers)


def merge_low_rank(encoder: nn.Module) -> None:
    """Turn each changed weight into a plain one, which costs what the parent's did."""
    layers: list[Any] = [module for module in encoder.modules() if parametrize.is_parametrized(module, _WEIGHT)]
    for layer in layers:
        parametrize.remove_parametrizations(layer, _WEIGHT, leave_parametrized=True)
