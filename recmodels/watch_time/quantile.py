"""Quantiles of watch time, never crossing; their mean is the expectation."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from recmodels.parts import PartConfig
from recmodels.watch_time._contract import WatchTimeHead


class WatchHead(WatchTimeHead):
    """Q quantiles at (q - 1/2) / Q by the pinball loss; each is the one below it and something positive.

    Source: Lin et al. 2024 (conditional quantile estimation for watch time); Koenker and Bassett 1978 for the loss.
    Seconds are counted in means of the training rows.
    """

    class Config(PartConfig):
        """Settings of the quantile head."""

        num_quantiles: int = Field(20, ge=1, le=200)
        """Q."""

    mean: Tensor
    levels: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        count = self.outputs = config.num_quantiles
        self.register_buffer("mean", torch.ones(()))
        self.register_buffer("levels", (torch.arange(count) + 0.5) / count)

    def fit(self, watch: NDArray[np.float32], duration: NDArray[np.float32]) -> None:
        """Take the mean."""
        self.mean.fill_(max(float(watch.mean(dtype=np.float64)), 1e-3))

    def loss(self, raw: Tensor, watch: Tensor, duration: Tensor) -> Tensor:
        """Return the mean pinball loss of all quantiles."""
        missed = (watch / self.mean)[:, None] - self._quantiles(raw)
        return torch.maximum(self.levels * missed, (self.levels - 1) * missed).mean()

    def seconds(self, raw: Tensor, duration: Tensor) -> Tensor:
        """Return the mean of the quantiles."""
        return self._quantiles(raw).mean(dim=1) * self.mean

    def _quantiles(self, raw: Tensor) -> Tensor:
        """Return (N, Q) in means, never decreasing; raw zeros begin near an even spread over 0 to 2 means."""
        return (nn.functional.softplus(raw) * (2 / (0.6931 * self.outputs))).cumsum(dim=1)
