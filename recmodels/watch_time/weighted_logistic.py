"""Weighted logistic regression, whose odds are the expected seconds."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from recmodels.parts import PartConfig
from recmodels.watch_time._contract import WatchTimeHead


class WatchHead(WatchTimeHead):
    """Each row counts once as a negative and, weighted by its seconds, as a positive; the odds are then their mean.

    Source: Covington, Adams and Sargin 2016, section 4.2. Theirs counts a row as a positive or as a negative, so that
    the odds are E[T] / P(not clicked), close to E[T] where clicks are rare; in a feed they are not. Seconds are counted
    in means of the training rows.
    """

    class Config(PartConfig):
        """Settings of weighted logistic regression."""

        most_means: float = Field(20.0, gt=1)
        """No expectation exceeds so many means."""

    mean: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.outputs = 1
        self._most = math.log(config.most_means)
        self.register_buffer("mean", torch.ones(()))

    def fit(self, watch: NDArray[np.float32], duration: NDArray[np.float32]) -> None:
        """Take the mean."""
        self.mean.fill_(max(float(watch.mean(dtype=np.float64)), 1e-3))

    def loss(self, raw: Tensor, watch: Tensor, duration: Tensor) -> Tensor:
        """Return the weighted cross-entropy."""
        logit = raw[:, 0]
        softplus = nn.functional.softplus
        return (watch / self.mean * softplus(-logit) + softplus(logit)).mean()

    def seconds(self, raw: Tensor, duration: Tensor) -> Tensor:
        """Return the odds."""
        return raw[:, 0].clamp(max=self._most).exp() * self.mean
