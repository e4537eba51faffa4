"""Ordinal: is it watched for longer than this, and this, and this?"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from recmodels.parts import PartConfig
from recmodels.watch_time._contract import WatchTimeHead


class WatchHead(WatchTimeHead):
    """One yes-or-no question a bound; the expectation is the sum of what each yes adds.

    Bounds are quantiles of the training rows. With S_m = P(T > b_m) and the mean of the training rows between two
    bounds, E[T] = mean_0 + sum_m S_m (mean_m - mean_(m-1)). Source: the discretise, classify and restore of CREAD (Sun
    et al. 2024), which takes the bounds themselves where we take means, and moves its bounds by the
    expected error.
    """

    class Config(PartConfig):
        """Settings of the ordinal head."""

        num_bounds: int = Field(20, ge=1, le=200)
        """M."""

    bounds: Tensor
    steps: Tensor
    base: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.outputs = config.num_bounds
        self.register_buffer("bounds", torch.zeros(config.num_bounds))
        self.register_buffer("steps", torch.zeros(config.num_bounds))
        self.register_buffer("base", torch.zeros(()))

    def fit(self, watch: NDArray[np.float32], duration: NDArray[np.float32]) -> None:
        """Take the bounds and the means between them; where no row lies between two, the lower bound."""
        count = self.outputs
        bounds = np.quantile(watch, np.arange(count) / count).astype(np.float32)
        parts = np.searchsorted(bounds, watch, side="left")  # how many bounds lie below
        sums = np.bincount(parts, weights=watch, minlength=count + 1)
        rows = np.bincount(parts, minlength=count + 1)
        ends = np.concatenate([bounds[:1], bounds])
        means = np.maximum.accumulate(np.where(rows > 0, sums / np.maximum(rows, 1), ends))
        self.bounds.copy_(torch.from_numpy(bounds))
        self.steps.copy_(torch.from_numpy(np.diff(means).astype(np.float32)))
        self.base.fill_(float(means[0]))

    def loss(self, raw: Tensor, watch: Tensor, duration: Tensor) -> Tensor:
        """Return the mean cross-entropy of all questions."""
        is_longer = (watch[:, None] > self.bounds).to(raw.dtype)
        return nn.functional.binary_cross_entropy_with_logits(raw, is_longer)

    def seconds(self, raw: Tensor, duration: Tensor) -> Tensor:
        """Return the sum over the bounds."""
        return self.base + raw.sigmoid() @ self.steps
