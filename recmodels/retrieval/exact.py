"""Exact search: the best columns of a matrix of scores, in one order whatever the machine."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.float32, np.int32)

_LANES = 256
_MOST_SCORES = 2**21  # of one pass: 8 MB, so that the passes over them find them in the cache


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
    step = max(1, _MOST_SCORES // max(size, 1))
    parts = [_top(scores[start : start + step], width) for start in range(0, max(len(scores), 1), step)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def low_bounds(scores: NDArray[Number], width: int) -> NDArray[Number]:
    """Return for each row a score, (B,), that few columns exceed: `width` or more, or fewer where others equal it.

    The columns are dealt into lanes, and the answer is one of the lanes' maxima: the largest but `width`.
    """
    size = scores.shape[1]
    lanes = max(_LANES, 8 * width)
    if size < 2 * lanes:
        return _nth_largest(scores, min(width + 1, size))
    even = size - size % lanes
    maxima = scores[:, :even].reshape(len(scores), -1, lanes).max(axis=1)  # (B, lanes)
    np.maximum(maxima[:, : size - even], scores[:, even:], out=maxima[:, : size - even])
    return _nth_largest(maxima, width + 1)


def at_least(
    scores: NDArray[np.int32], bounds: NDArray[np.int32], *, most: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the columns whose scores are not below a row's bound.

    Args:
        scores: (B, V).
        bounds: (B,).
        most: Rows with more such columns give none: they are not worth telling apart.

    Returns:
        Columns, (B, C) int32 in ascending order, -1 where a row has fewer; and (B,) whether a row gave none.
    """
    batch, size = scores.shape
    places = np.flatnonzero(scores >= bounds[:, None])
    if batch == 1 and len(places) <= most:  # most requests come alone
        return places[None].astype(np.int32), np.zeros(1, np.bool_)
    counts = np.diff(np.searchsorted(places, size * np.arange(batch + 1)))
    is_crowded = counts > most
    if is_crowded.any():
        places = places[np.repeat(~is_crowded, counts)]
        counts = np.where(is_crowded, 0, counts)
    rows = np.repeat(np.arange(batch), counts)
    columns = np.full((batch, int(counts.max(initial=1))), -1, dtype=np.int32)
    columns[rows, np.arange(len(places)) - (np.cumsum(counts) - counts)[rows]] = places - size * rows
    return columns, is_crowded


def _top(scores: NDArray[np.float32], width: int) -> NDArray[np.int32]:
    batch, size = scores.shape
    bounds = low_bounds(scores, width)[:, None]
    places = np.flatnonzero(scores > bounds)
    counts = np.diff(np.searchsorted(places, size * np.arange(batch + 1)))  # (B,)
    missing = np.maximum(width - counts, 0)
    if missing.any():
        places = np.sort(np.concatenate([places, _first(scores == bounds, missing)]))
        counts = counts + missing
    starts = np.cumsum(counts) - counts
    row = np.repeat(np.arange(batch), counts)
    values = np.full((batch, int(counts.max(initial=width))), -np.inf, dtype=np.float32)  # (B, C)
    values[row, np.arange(len(places)) - starts[row]] = scores.ravel()[places]
    order = np.argsort(-values, axis=1, kind="stable")[:, :width]
    columns: NDArray[np.int32] = (places[starts[:, None] + order] % size).astype(np.int32)
    return columns


def _nth_largest(values: NDArray[Number], n: int) -> NDArray[Number]:
    place = values.shape[1] - n
    return np.partition(values, place, axis=1)[:, place]


def _first(marks: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the first `counts` marks of each row stand in the flattened matrix."""
    places = np.flatnonzero(marks)
    starts = np.searchsorted(places, marks.shape[1] * np.arange(len(marks)))
    ends = np.cumsum(counts)
    first: NDArray[np.int64] = places[np.repeat(starts - (ends - counts), counts) + np.arange(counts.sum())]
    return first
