"""From histories to the rows that a sequence model trains on: every event is a target exactly once."""

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories


def training_windows(histories: Histories, *, max_length: int) -> Histories:
    """Cut histories from the end backwards into rows of at most `max_length` + 1 events, as views.

    A row of that full length gives `max_length` targets, its first event being input only, and the target of the row
    before it. A shorter row starts its history, and all of its events are targets. Empty histories give no row.

    Args:
        histories: One row a user, oldest event first.
        max_length: L.

    Returns:
        The rows, user by user.
    """
    lengths = histories.lengths
    counts = -(-lengths // max_length)  # (B,)
    users = np.repeat(np.arange(len(lengths)), counts)  # (W,)
    number = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = histories.ends[users] - number * max_length
    starts = np.maximum(histories.starts[users], ends - max_length - 1)
    return Histories(histories.items, histories.timestamps, starts, ends)


def has_event_since(rows: Histories, since: int) -> NDArray[np.bool_]:
    """Return which rows end at or after a time in microseconds, (W,); none of them is empty."""
    return rows.timestamps[rows.ends - 1] >= since
