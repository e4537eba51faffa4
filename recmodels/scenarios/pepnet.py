"""PEPNet: gates from the surface on the embeddings, gates from who and what on the state."""

import torch
from pydantic import Field
from torch import Tensor, nn

from recmodels.parts import PartConfig
from recmodels.scenarios._contract import ScenarioAdapter, Sizes, Surface


class Scenario(ScenarioAdapter):
    """Every number of the fields, and then of the state, is scaled by something between 0 and 2.

    The scale of the fields comes of the surface and the fields (EPNet), that of the state of the surface and all fields
    but it (PPNet, which takes user, item and author; ours are among the fields); neither passes a gradient on to the
    fields. Gates begin at about 1. Source: Chang et al. 2023 (PEPNet). They scale every layer of every task's
    tower; ours scales what the towers are given.
    """

    class Config(PartConfig):
        """Settings of PEPNet."""

        gate_dim: int = Field(32, ge=1)
        """Size of a gate's inner layer."""

    def __init__(self, sizes: Sizes, config: Config) -> None:
        super().__init__(sizes, config)
        width = sizes.fields * sizes.embedding_dim
        self.field_gate = _Gate(sizes.embedding_dim + width, config.gate_dim, width)
        self.state_gate = _Gate(sizes.embedding_dim + width, config.gate_dim, sizes.states)

    def fields(self, fields: Tensor, surface: Surface) -> Tensor:
        """Return the fields, scaled."""
        gate: Tensor = self.field_gate(_prior(fields, surface))
        return fields * gate.view(fields.shape)

    def states(self, states: Tensor, fields: Tensor, surface: Surface) -> Tensor:
        """Return the state, scaled."""
        scaled: Tensor = states * self.state_gate(_prior(fields, surface))
        return scaled


class _Gate(nn.Module):
    def __init__(self, in_dim: int, gate_dim: int, out_dim: int) -> None:
        super().__init__()
        self.inner = nn.Linear(in_dim, gate_dim)
        self.outer = nn.Linear(gate_dim, out_dim)

    def forward(self, prior: Tensor) -> Tensor:
        bent: Tensor = self.outer(nn.functional.relu(self.inner(prior)))
        return 2 * bent.sigmoid()


def _prior(fields: Tensor, surface: Surface) -> Tensor:
    return torch.cat([surface.vectors, fields.flatten(1).detach()], dim=1)
