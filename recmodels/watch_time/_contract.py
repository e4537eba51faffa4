"""What every head for watch time is: raw numbers of an exposure in, expected seconds out, and the loss between."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.parts import PartConfig


class WatchTimeHead(nn.Module, ABC):
    """A plug-in's ``WatchHead``: it knows the distribution of watch time that it was fitted to, and no state.

    The raw numbers are a linear function of a state, made elsewhere. What was fitted is kept in buffers, so that it is
    saved and exported with the weights.

    Args:
        config: An instance of the plug-in's own `Config`.

    Attributes:
        outputs: O, raw numbers that the head wants of an exposure.
    """

    Config: ClassVar[type[PartConfig]]
    outputs: int

    @abstractmethod
    def __init__(self, config: Any) -> None:
        super().__init__()

    @abstractmethod
    def fit(self, watch: NDArray[np.float32], duration: NDArray[np.float32]) -> None:
        """Take scales and bounds from training rows.

        Args:
            watch: (M,) seconds, at least one row, all finite, none below 0.
            duration: (M,) seconds; NaN where not known.
        """

    @abstractmethod
    def loss(self, raw: Tensor, watch: Tensor, duration: Tensor) -> Tensor:
        """Return the mean loss of packed rows: raw (M, O), watch (M,), duration (M,) or NaN. A scalar."""

    @abstractmethod
    def seconds(self, raw: Tensor, duration: Tensor) -> Tensor:
        """Return expected seconds, (N,), never below 0, of raw (N, O) and duration (N,) or NaN."""
