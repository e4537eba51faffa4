"""How far apart two events of a history are, in positions and in time, as a number that attention adds."""

import torch
from torch import Tensor, nn

TIME_BUCKETS = 100
"""Buckets of time: the most that two int64 can be apart in microseconds, 292,000 years, falls into the last."""

_LOG_WIDTH = 0.301
_SECONDS = 1e-6
_SPREAD = 0.02


def time_buckets(times: Tensor, *, rows: slice) -> Tensor:
    """Return the bucket of the time between two events: floor(ln(max(1, seconds)) / 0.301).

    Source: the buckets that Zhai et al. published with their 2024 paper. Microseconds are subtracted as whole numbers
    and the logarithm is taken in float64: in float32, times of today are minutes apart at best, and two libraries
    would disagree about the bucket of what lies next to a bound.

    Args:
        times: (B, L) int64 microseconds, never decreasing within a row.
        rows: Of the positions whose distances are wanted, M of them.

    Returns:
        (B, M, L) int64; 0 where the column's event is later than the row's.
    """
    apart = times[:, rows, None] - times[:, None, :]  # (B, M, L)
    seconds = (apart.to(torch.float64) * _SECONDS).clamp(min=1.0)
    return (seconds.log() * (1 / _LOG_WIDTH)).to(torch.int64)


class RelativeBias(nn.Module):
    """A learned number for each distance in positions and, where asked, one for each bucket of time; their sum.

    All heads share it. Source: Zhai et al. 2024, equation 2.

    Args:
        max_length: Longest history.
        has_time: Whether there are numbers for time.
    """

    def __init__(self, max_length: int, *, has_time: bool) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(max_length))
        nn.init.normal_(self.positions, std=_SPREAD)
        self.times = nn.Parameter(torch.empty(TIME_BUCKETS)) if has_time else None
        if self.times is not None:
            nn.init.normal_(self.times, std=_SPREAD)

    def forward(self, distances: Tensor, buckets: Tensor | None) -> Tensor:
        """Return what is added to the attention of every head.

        Args:
            distances: (M, L) int64, from the column's position to the row's; 0 where the column's is later.
            buckets: (B, M, L) of `time_buckets`; None without numbers for time.

        Returns:
            (1 or B, 1, M, L).
        """
        bias = _looked_up(self.positions, distances)[None]  # (1, M, L)
        if self.times is not None:
            assert buckets is not None, "a bias of time needs times"
            bias = bias + _looked_up(self.times, buckets)  # (B, M, L)
        return bias[:, None]


def _looked_up(table: Tensor, places: Tensor) -> Tensor:
    """Return table[places]; of the ways to say so, the quickest on a CPU, there and back."""
    return table.index_select(0, places.flatten()).view(places.shape)
