"""What of a history a model can use: the events of items that are in its catalogue."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM

if TYPE_CHECKING:
    from scipy import sparse


def known_items(histories: Histories) -> Histories:
    """Return the histories without unknown items, of which no model learned anything; as views where all are known."""
    positions = histories.positions()
    is_known = histories.items[positions] >= FIRST_ITEM
    if is_known.all():
        return histories
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    ends = np.cumsum(np.bincount(rows[is_known], minlength=len(histories)))
    kept = positions[is_known]
    return Histories(histories.items[kept], histories.timestamps[kept], np.concatenate([[0], ends[:-1]]), ends)


def is_blank(histories: Histories) -> NDArray[np.bool_]:
    """Return which histories hold no known item, (B,)."""
    rows, items = histories.flat()
    blank = np.ones(len(histories), dtype=np.bool_)
    blank[rows[items >= FIRST_ITEM]] = False
    return blank


def item_matrix(histories: Histories, vocabulary_size: int) -> "sparse.csr_array":
    """Return which items each history holds, (B, V) CSR of float32 ones; repeats count once, unknown items not."""
    from scipy import sparse  # 15 MB, which a process that serves an encoder does without

    row, column = distinct_items(histories, vocabulary_size)
    offsets = np.searchsorted(row, np.arange(len(histories) + 1))
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_array((ones, column, offsets), shape=(len(histories), vocabulary_size))


def distinct_items(histories: Histories, vocabulary_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row and the item of each known item of each history once, by row and item."""
    rows, items = histories.flat()
    known = items >= FIRST_ITEM
    keys = np.unique(rows[known] * vocabulary_size + items[known])
    return np.divmod(keys, vocabulary_size)
