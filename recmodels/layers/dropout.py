"""Dropout whose random numbers are cheap on a processor, where they else are a quarter of a training step."""

import numpy as np
import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Zeros at random while training, the rest scaled up so that the mean stays; otherwise the identity.

    Source: Srivastava et al. 2014. On a processor one random byte decides about a number, so that the share is rounded
    to 256ths; the bytes come from a generator that torch's own seeds at each call. Elsewhere torch draws.

    Args:
        share: Of zeros, from 0, below 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape."""
        if not self.training or self.share == 0:
            return values
        if values.device.type != "cpu":
            return nn.functional.dropout(values, self.share)
        dropped = min(round(self.share * _LEVELS), _LEVELS - 1)
        return (values * _are_kept(values.shape, dropped)).mul_(_LEVELS / (_LEVELS - dropped))

    def extra_repr(self) -> str:
        """Return what the module's own text shows."""
        return f"share={self.share}"


def _are_kept(shape: torch.Size, dropped: int) -> Tensor:
    """Return ones and zeros, `dropped` of 256 of which are zeros on the average."""
    seed = int(torch.randint(2**62, ()))
    drawn = np.random.Generator(np.random.SFC64(seed)).bytes(shape.numel())
    return torch.frombuffer(bytearray(drawn), dtype=torch.uint8).view(shape).ge_(dropped)
