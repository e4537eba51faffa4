"""D2Q: which quantile of the watch times of items as long as this one?"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from recmodels.parts import PartConfig
from recmodels.watch_time._contract import WatchTimeHead


class WatchHead(WatchTimeHead):
    """Rows are grouped by duration; a row's label is where its seconds stand within its group, from 0 to 1.

    Duration would otherwise decide most of the watch time and hide what a person likes. Ties stand in their middle. The
    prediction goes back to seconds through the group's own quantiles; where the quantile itself is uncertain that is
    not quite the mean. Rows without a duration make group 0, whose quantiles are those of all. Source: Zhan et al. 2022
    (D2Q), by squared error as theirs.
    """

    class Config(PartConfig):
        """Settings of D2Q."""

        num_groups: int = Field(20, ge=1, le=200)
        """Groups of about equally many rows, by duration."""
        num_quantiles: int = Field(101, ge=2, le=1001)
        """Points of a group's quantile function, evenly from 0 to 1."""

    edges: Tensor
    quantiles: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.outputs = 1
        self.register_buffer("edges", torch.full((config.num_groups - 1,), torch.inf))
        self.register_buffer("quantiles", torch.zeros(config.num_groups + 1, config.num_quantiles))

    def fit(self, watch: NDArray[np.float32], duration: NDArray[np.float32]) -> None:
        """Take the groups' edges and each group's quantiles; an empty group has those of all."""
        groups, points = self.quantiles.shape
        levels = np.linspace(0, 1, points)
        table = np.tile(np.quantile(watch, levels), (groups, 1))
        known = np.isfinite(duration)
        if known.any():
            edges = np.quantile(duration[known], np.arange(1, groups - 1) / (groups - 1))
            self.edges.copy_(torch.from_numpy(edges.astype(np.float32)))
            group = self._groups(torch.from_numpy(duration)).numpy()
            for number in np.unique(group[known]):
                table[number] = np.quantile(watch[known & (group == number)], levels)
        self.quantiles.copy_(torch.from_numpy(table.astype(np.float32)))

    def loss(self, raw: Tensor, watch: Tensor, duration: Tensor) -> Tensor:
        """Return the mean squared error of the quantile."""
        own = self.quantiles[self._groups(duration)]  # (M, P)
        below, upto = (own < watch[:, None]).sum(dim=1), (own <= watch[:, None]).sum(dim=1)
        level = ((below + upto - 1) / 2 / (own.shape[1] - 1)).clamp(0, 1)
        return (raw[:, 0].sigmoid() - level).square().mean()

    def seconds(self, raw: Tensor, duration: Tensor) -> Tensor:
        """Return the group's seconds at the predicted quantile, in a straight line between two points."""
        points = self.quantiles.shape[1]
        place = raw[:, 0].sigmoid() * (points - 1)
        lower = place.floor().clamp(max=points - 2)
        first = self._groups(duration) * points + lower.long()
        flat = self.quantiles.flatten()
        below, above = flat[first], flat[first + 1]
        return below + (above - below) * (place - lower)

    def _groups(self, duration: Tensor) -> Tensor:
        """Return each row's group, (N,) int64: 0 without a duration."""
        group = 1 + (duration[:, None] >= self.edges).sum(dim=1)
        return torch.where(duration.isnan(), 0, group)
