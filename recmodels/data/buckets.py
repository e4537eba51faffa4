"""Events put down by bucket on disk, in the order in which they come, and sorted one bucket at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recmodels.data.scan import EventBatch, Span

_WORD = 64


class Ties(NamedTuple):
    """Events of one bucket that share user and time with another.

    Attributes:
        places: ``(T,)`` where they stand among the bucket's sorted events, ascending.
        groups: ``(T,)`` number of each one's user and time, ascending.
        rows: ``(T,)`` where they stand in the files.
    """

    places: NDArray[np.int64]
    groups: NDArray[np.int64]
    rows: NDArray[np.int64]


class Pile:
    """Events of each bucket, side by side in files.

    Args:
        capacities: ``(B,)`` most events of each bucket.
        folder: Where the files are made.
        span: First and last timestamp.
        users: ``(B + 1,)`` first user of each bucket, then the number of users.

    Attributes:
        users: As given.
        sizes: ``(B,)`` events that came so far.
    """

    def __init__(self, capacities: NDArray[np.int64], folder: Path, *, span: Span, users: NDArray[np.int64]) -> None:
        self.users = users
        self.sizes = np.zeros(len(capacities), dtype=np.int64)
        self._starts = np.cumsum(capacities) - capacities
        self._first = span.first
        self._time_bits = max(span.last - span.first, 1).bit_length()
        self._bucket_of = np.repeat(np.arange(len(capacities), dtype=np.uint16), np.diff(users))
        total = int(capacities.sum())
        kinds = {"users": np.int32, "items": np.int32, "timestamps": np.int64, "rows": np.int64}
        self._arrays = {
            name: open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=(total,))
            for name, kind in kinds.items()
        }

    @property
    def size(self) -> int:
        """Events that came so far."""
        return int(self.sizes.sum())

    def add(self, batch: EventBatch) -> None:
        """Put down a batch."""
        buckets = self._bucket_of[batch.users]
        order = np.argsort(buckets, kind="stable")
        counts = np.bincount(buckets, minlength=len(self.sizes))
        ends = np.cumsum(counts)
        for name, array in self._arrays.items():
            values = getattr(batch, name)[order]
            for bucket in np.flatnonzero(counts).tolist():
                at = self._starts[bucket] + self.sizes[bucket]
                array[at : at + counts[bucket]] = values[ends[bucket] - counts[bucket] : ends[bucket]]
        self.sizes += counts

    def of(self, name: str, bucket: int) -> NDArray[Any]:
        """Return one column of a bucket's events as they came."""
        start = self._starts[bucket]
        return self._arrays[name][start : start + self.sizes[bucket]]

    def order(self, bucket: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the order of a bucket's events by user and time, and which are tied with the one before them."""
        users, moments = self.of("users", bucket) - np.int32(self.users[bucket]), self.of("timestamps", bucket)
        num_users = int(self.users[bucket + 1] - self.users[bucket])
        is_tied = np.zeros(len(users), dtype=np.bool_)
        if num_users.bit_length() + self._time_bits > _WORD:
            order = np.lexsort((moments, users))
            is_tied[1:] = (np.diff(users[order]) == 0) & (np.diff(moments[order]) == 0)
            return order, is_tied
        keys = users.astype(np.uint64) << np.uint64(self._time_bits)
        keys |= (moments - self._first).view(np.uint64)
        order = np.argsort(keys)
        keys = keys[order]
        is_tied[1:] = keys[1:] == keys[:-1]
        return order, is_tied


def sort_piles(
    pile: Pile, folder: Path, *, tie_hashes: Callable[[NDArray[np.int64]], NDArray[np.uint64]], threads: int
) -> NDArray[np.int64]:
    """Write ``items.npy`` and ``timestamps.npy`` with each user's events by time, ties by a hash, then by row.

    Args:
        pile: All events.
        folder: Where the files are made.
        tie_hashes: The hash of events by where they stand in the files, given in ascending order.
        threads: Buckets that are sorted at a time.

    Returns:
        ``(U,)`` events of each user.
    """
    items = open_memmap(folder / "items.npy", mode="w+", dtype=np.int32, shape=(pile.size,))
    timestamps = open_memmap(folder / "timestamps.npy", mode="w+", dtype=np.int64, shape=(pile.size,))
    ends = np.cumsum(pile.sizes)
    lengths = np.zeros(int(pile.users[-1]), dtype=np.int64)

    def sort(bucket: int) -> Ties:
        first, last = pile.users[bucket : bucket + 2].tolist()
        order, is_tied = pile.order(bucket)
        users = pile.of("users", bucket)
        lengths[first:last] = np.bincount(users - np.int32(first), minlength=last - first)
        part = slice(ends[bucket] - pile.sizes[bucket], ends[bucket])
        items[part] = pile.of("items", bucket)[order]
        timestamps[part] = moments = pile.of("timestamps", bucket)[order]
        _check_order(users[order], moments)
        return _ties(order, is_tied, pile.of("rows", bucket))

    with ThreadPoolExecutor(threads) as pool:
        ties = list(pool.map(sort, range(len(pile.sizes))))
    _settle(ties, items, tie_hashes, starts=ends - pile.sizes)
    items.flush()
    timestamps.flush()
    return lengths


def _ties(order: NDArray[np.int64], is_tied: NDArray[np.bool_], rows: NDArray[np.int64]) -> Ties:
    """Return the sorted events that share user and time with a neighbour."""
    is_member = is_tied.copy()
    is_member[:-1] |= is_tied[1:]
    places = np.flatnonzero(is_member)
    return Ties(places, np.cumsum(~is_tied[places]), rows[order[places]])


def _settle(
    ties: list[Ties],
    items: NDArray[np.int32],
    tie_hashes: Callable[[NDArray[np.int64]], NDArray[np.uint64]],
    *,
    starts: NDArray[np.int64],
) -> None:
    """Put tied events in the order of their hashes, then of their rows; their users and times are equal anyway."""
    counts = [int(tied.groups[-1]) if len(tied.groups) else 0 for tied in ties]
    firsts = np.cumsum(counts) - counts
    places = np.concatenate([tied.places + start for tied, start in zip(ties, starts.tolist(), strict=True)])
    groups = np.concatenate([tied.groups + first for tied, first in zip(ties, firsts.tolist(), strict=True)])
    rows = np.concatenate([tied.rows for tied in ties])
    if not len(rows):
        return
    by_row = np.argsort(rows)
    hashes = np.empty(len(rows), dtype=np.uint64)
    hashes[by_row] = tie_hashes(rows[by_row])
    items[places] = items[places[np.lexsort((rows, hashes, groups))]]


def _check_order(users: NDArray[np.int32], moments: NDArray[np.int64]) -> None:
    steps = np.diff(users)
    assert (steps >= 0).all(), "a bucket's events must be sorted by user"
    assert ((np.diff(moments) >= 0) | (steps > 0)).all(), "a user's events must be sorted by time"
