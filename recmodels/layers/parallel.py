"""Several linear layers side by side, as one product of matrices."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class ParallelLinear(nn.Module):
    """M linear layers of equal shape: of one input that they share, or of one input each.

    Args:
        count: M.
        in_dim: I.
        out_dim: O.

    Attributes:
        weight: (M, I, O).
        bias: (M, O).
    """

    def __init__(self, count: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, in_dim, out_dim))
        self.bias = nn.Parameter(torch.zeros(count, out_dim))
        bound = (6 / (in_dim + out_dim)) ** 0.5  # Glorot and Bengio 2010, equation 16
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (N, M, O) of (N, I), which all layers share, or of (N, M, I)."""
        count, in_dim, out_dim = self.weight.shape
        if inputs.dim() == 2:
            joined = self.weight.permute(1, 0, 2).reshape(in_dim, count * out_dim)
            return (inputs @ joined).view(-1, count, out_dim) + self.bias
        return torch.bmm(inputs.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class ReluTower(nn.Module):
    """Linear layers with a ReLU and dropout after each.

    Args:
        in_dim: Of the input.
        dims: Of each layer; none gives the identity.
        dropout: The module that is put after each layer.
    """

    def __init__(self, in_dim: int, dims: tuple[int, ...], *, dropout: nn.Module) -> None:
        super().__init__()
        sizes = (in_dim, *dims)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.dropout = dropout
        self.out_dim = sizes[-1]

    def forward(self, states: Tensor) -> Tensor:
        """Return (N, O) of (N, I)."""
        for layer in self.layers:
            states = self.dropout(nn.functional.relu(layer(states)))
        return states
