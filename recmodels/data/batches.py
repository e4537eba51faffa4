"""From jagged histories to rectangular batches: the one seam where padding happens."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import PADDING

_Number = TypeVar("_Number", np.int32, np.int64, np.bool_)

_MOST_LEVELS = 64
"""Lengths are compared on this many levels, so that batches stay alike in length yet change between epochs."""


def pad(histories: Histories, *, length: int) -> NDArray[np.int32]:
    """Return the last `length` items of each row, padded on the left.

    Args:
        histories: B rows; an empty row becomes padding only.
        length: L, at least 1.

    Returns:
        ``(B, L)`` int32, `PADDING` where a row is shorter.
    """
    return _padded(histories, histories.items, np.int32(PADDING), length=length)


def pad_times(histories: Histories, *, length: int) -> NDArray[np.int64]:
    """Return when the events that `pad` returns were, (B, L) microseconds; 0 where it pads."""
    return _padded(histories, histories.timestamps, np.int64(0), length=length)


def pad_flags(histories: Histories, flags: NDArray[np.bool_], *, length: int) -> NDArray[np.bool_]:
    """Return flags of the events that `pad` returns, (B, L); False where it pads.

    Args:
        histories: B rows.
        flags: ``(E,)`` one an event of the shared arrays.
        length: L.
    """
    return _padded(histories, flags, np.False_, length=length)


def _padded(histories: Histories, values: NDArray[_Number], filler: _Number, *, length: int) -> NDArray[_Number]:
    if length < 1:
        raise ValueError(f"length {length!r} leaves no column; expected at least 1.")
    if not len(values):
        return np.full((len(histories), length), filler)
    positions = histories.ends + np.arange(-length, 0)[:, None]  # (L, B): the long axis last, which NumPy is faster at
    outside = positions < histories.starts
    gathered: NDArray[_Number] = np.asarray(values).take(positions, mode="clip")  # outside a row, anything
    np.putmask(gathered, outside, filler)
    return np.ascontiguousarray(gathered.T)


def length_buckets(lengths: NDArray[np.int64], *, batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Divide rows into shuffled batches of alike length, so that little is padded.

    Args:
        lengths: ``(B,)`` length of each row.
        batch_size: Most rows a batch.
        rng: Source of the shuffles; the same state gives the same batches.

    Returns:
        Row numbers of each batch; every row stands in exactly one.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size!r} is not possible; expected at least 1.")
    if not len(lengths):
        return []
    step = max(1, -(-int(lengths.max()) // _MOST_LEVELS))
    shuffled = rng.permutation(len(lengths))
    levels = (lengths // step).astype(np.uint8)  # so that the sort counts instead of comparing
    order = shuffled[np.argsort(levels[shuffled], kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[number] for number in rng.permutation(len(batches))]
