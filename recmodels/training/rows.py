"""What a model is trained on and watched by: rows of events as tensors, with times where the model reads them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from recmodels.data.batches import pad, pad_times
from recmodels.data.histories import Histories


@dataclass(frozen=True, eq=False)
class Rows:
    """B rows of events.

    Attributes:
        items: (B, M) int64 item indices, padded on the left.
        times: (B, M) int64 microseconds of the events, of no meaning where there is none; None for a model that reads
            no times.
    """

    items: Tensor
    times: Tensor | None = None

    @classmethod
    def of(cls, histories: Histories, *, length: int, uses_time: bool, device: torch.device) -> "Rows":
        """Pad histories, or cut them to their last events.

        Args:
            histories: B rows.
            length: M, at least 1.
            uses_time: Whether times are gathered, too.
            device: Where the tensors are wanted.
        """
        items = torch.from_numpy(pad(histories, length=length)).to(device, torch.int64)
        if not uses_time:
            return cls(items)
        return cls(items, torch.from_numpy(pad_times(histories, length=length)).to(device))

    def before_last(self) -> "Rows":
        """Return all but the last column, as a view."""
        return Rows(self.items[:, :-1], None if self.times is None else self.times[:, :-1])
