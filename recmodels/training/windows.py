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


def has_target(rows: Histories, is_target: NDArray[np.bool_], *, max_length: int) -> NDArray[np.bool_]:
    """Return which rows of `training_windows` have an event to predict, (W,).

    Args:
        rows: The windows.
        is_target: (E,) which events of the shared arrays are to be predicted.
        max_length: L; the first event of a row that fills L + 1 is input only.
    """
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_target)])
    first = rows.starts + (rows.lengths > max_length)
    found: NDArray[np.bool_] = before[rows.ends] > before[first]
    return found


def has_event_since(rows: Histories, since: int) -> NDArray[np.bool_]:
    """Return which rows end at or after a time in microseconds, (W,); none of them is empty."""
    return rows.timestamps[rows.ends - 1] >= since
