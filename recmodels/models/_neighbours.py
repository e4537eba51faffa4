"""Item-to-item weights, cut to the strongest of each row as they are made, so that what is evaluated can be served."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.retrieval.exact import top_columns
from recmodels.scorers import item_matrix

BLOCK_BYTES = 64 * 2**20
"""Dense weights of one block of rows."""


def incidence(histories: Histories, vocabulary_size: int) -> sparse.csc_array:
    """Return which catalogue item is in which history, (B, N) float32; repeats count once."""
    return item_matrix(histories, vocabulary_size).tocsc()[:, FIRST_ITEM:]


def blocks(rows: int, columns: int) -> Iterable[slice]:
    """Yield slices of `rows` that hold at most `BLOCK_BYTES` of float64 each."""
    step = max(1, BLOCK_BYTES // (8 * max(columns, 1)))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def strongest(weights: NDArray[np.float32], count: int) -> sparse.csr_array:
    """Keep the `count` weights of largest magnitude in each row, (n, N) -> CSR; zeros are never kept."""
    columns = np.sort(top_columns(np.abs(weights), count), axis=1)  # (n, count)
    values = np.take_along_axis(weights, columns, axis=1)
    offsets = np.arange(len(weights) + 1) * columns.shape[1]
    table = sparse.csr_array((values.ravel(), columns.ravel(), offsets), shape=weights.shape)
    table.eliminate_zeros()
    return table


def with_special_entries(table: sparse.csr_array) -> sparse.csr_array:
    """Return the (N, N) table as (V, V), with nothing in the rows and columns of padding and unknown items."""
    offsets = np.concatenate([np.zeros(FIRST_ITEM, dtype=table.indptr.dtype), table.indptr])
    size = table.shape[0] + FIRST_ITEM
    return sparse.csr_array((table.data, table.indices + FIRST_ITEM, offsets), shape=(size, size))
