"""Exact search: the best columns of a matrix of scores, in one order whatever the machine."""

import numpy as np
from numpy.typing import NDArray


def top_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Return the columns of the k largest scores of each row, best first; ties go to the smaller column.

    Args:
        scores: (B, V) without NaN.
        k: At least 1; more than V gives V columns.

    Returns:
        (B, min(k, V)) int32.
    """
    size = scores.shape[1]
    width = min(k, size)
    keys = _sort_keys(scores)  # (B, V)
    if width < size:
        keys = np.partition(keys, size - width, axis=1)[:, size - width :]
    keys.sort(axis=1)
    from_the_right = (keys[:, ::-1] & np.uint64(0xFFFFFFFF)).astype(np.int32)  # (B, width)
    columns: NDArray[np.int32] = np.int32(size - 1) - from_the_right
    return columns


def _sort_keys(scores: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return unsigned numbers in the order of (score, smaller column first), so that no two of a row are equal.

    The bits of a float32 order as unsigned integers once negative numbers are flipped whole and positive ones moved
    above them.
    """
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0 and 0 equal
    ordered = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(0x80000000))
    from_the_right = np.arange(scores.shape[1] - 1, -1, -1, dtype=np.uint64)
    keys: NDArray[np.uint64] = (ordered.astype(np.uint64) << np.uint64(32)) | from_the_right
    return keys
