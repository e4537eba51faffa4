"""STAR: weights of all surfaces times weights of one."""

from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn

from recmodels.parts import PartConfig
from recmodels.scenarios._contract import ScenarioAdapter, Sizes, Surface, chosen


class Scenario(ScenarioAdapter):
    """Layers whose weights are shared ones times the surface's own, element by element, and whose biases are sums.

    The own weights begin at 1 and the own biases at 0, so that surfaces begin alike. Source: Sheng et al. 2021
    (STAR). Their partitioned normalisation (ours has no statistics of a batch) and their auxiliary network
    (the surface is a field of the backbone already) are left out.
    """

    class Config(PartConfig):
        """Settings of STAR."""

        dims: tuple[int, ...] = Field((64,), min_length=1)
        """Sizes of the layers."""

    def __init__(self, sizes: Sizes, config: Config) -> None:
        super().__init__(sizes, config)
        widths = (sizes.states, *config.dims)
        self.layers = nn.ModuleList(_StarLayer(sizes.surfaces, *pair) for pair in pairwise(widths))
        self.out_dim = widths[-1]

    def states(self, states: Tensor, fields: Tensor, surface: Surface) -> Tensor:
        """Return the state after the surface's own layers."""
        for layer in self.layers:
            states = nn.functional.relu(layer(states, surface.numbers))
        return states


class _StarLayer(nn.Module):
    def __init__(self, surfaces: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.shared = nn.Linear(in_dim, out_dim)
        self.own = nn.Parameter(torch.ones(surfaces, in_dim, out_dim))
        self.own_bias = nn.Parameter(torch.zeros(surfaces, out_dim))

    def forward(self, states: Tensor, index: Tensor) -> Tensor:
        surfaces, in_dim, out_dim = self.own.shape
        weight = self.shared.weight.T * self.own  # (S, I, O)
        joined = weight.permute(1, 0, 2).reshape(in_dim, surfaces * out_dim)
        bent = (states @ joined).view(-1, surfaces, out_dim) + (self.shared.bias + self.own_bias)
        return chosen(bent, index)
