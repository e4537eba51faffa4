"""What a model is trained on and watched by: rows of events as tensors, with times where the model reads them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recmodels.data.batches import pad, pad_flags, pad_times
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import PADDING


@dataclass(frozen=True, eq=False)
class Rows:
    """B rows of events.

    Attributes:
        items: (B, M) int64 item indices, padded on the left.
        times: (B, M) int64 microseconds of the events, of no meaning where there is none; None for a model that reads
            no times.
        is_target: (B, M) bool, which events are to be predicted; None for all.
    """

    items: Tensor
    times: Tensor | None = None
    is_target: Tensor | None = None

    @classmethod
    def of(
        cls,
        histories: Histories,
        *,
        length: int,
        uses_time: bool,
        device: torch.device,
        targets: NDArray[np.bool_] | None = None,
    ) -> "Rows":
        """Pad histories, or cut them to their last events.

        Args:
            histories: B rows.
            length: M, at least 1.
            uses_time: Whether times are gathered, too.
            device: Where the tensors are wanted.
            targets: (E,) which events of the shared arrays are to be predicted; None for all.
        """
        items = torch.from_numpy(pad(histories, length=length)).to(device, torch.int64)
        times = torch.from_numpy(pad_times(histories, length=length)).to(device) if uses_time else None
        if targets is None:
            return cls(items, times)
        return cls(items, times, torch.from_numpy(pad_flags(histories, targets, length=length)).to(device))

    @property
    def wanted(self) -> Tensor:
        """Which events after the first column are to be predicted, (B, M - 1)."""
        return self.items[:, 1:] != PADDING if self.is_target is None else self.is_target[:, 1:]

    def before_last(self) -> "Rows":
        """Return all but the last column, as a view."""
        return Rows(self.items[:, :-1], None if self.times is None else self.times[:, :-1])
