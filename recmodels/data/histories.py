"""Jagged histories: rows of events that are views over shared arrays, so that slicing and truncating copy nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.errors import DataError

_FIELDS = ("items", "timestamps", "starts", "ends")
_MICROSECONDS = 1_000_000


class FlatEvents(NamedTuple):
    """Every event of some histories, in row order and oldest first within a row.

    Attributes:
        rows: ``(E',)`` row number of each event.
        items: ``(E',)`` item index of each event.
    """

    rows: NDArray[np.int64]
    items: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Histories:
    """B rows of events over shared arrays; row `b` is ``items[starts[b]:ends[b]]``, oldest first.

    Rows may overlap, may be empty and need not cover the arrays.

    Attributes:
        items: ``(E,)`` item indices, see `recmodels.data.vocabulary`.
        timestamps: ``(E,)`` microseconds since 1970 UTC, never decreasing within a row.
        starts: ``(B,)`` first event of each row.
        ends: ``(B,)`` one past the last event of each row.
    """

    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.items.shape == self.timestamps.shape, "items and timestamps must be of equal length"
        assert self.starts.shape == self.ends.shape, "starts and ends must be of equal length"
        if len(self.starts):
            assert self.starts.min() >= 0, "a row starts before the first event"
            assert self.ends.max() <= len(self.items), "a row ends after the last event"
            assert (self.starts <= self.ends).all(), "a row ends before it starts"

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each row, ``(B,)``."""
        return self.ends - self.starts

    def row(self, b: int) -> NDArray[np.int32]:
        """Return the items of row `b`, oldest first, as a view."""
        return self.items[self.starts[b] : self.ends[b]]

    def take(self, rows: NDArray[np.int64]) -> "Histories":
        """Return the named rows, in the order given, as a view; a row may be named twice."""
        taken = object.__new__(Histories)  # rows of what was checked are not checked again: a batch takes microseconds
        vars(taken).update(vars(self), starts=self.starts[rows], ends=self.ends[rows])
        return taken

    def last(self, length: int) -> "Histories":
        """Return at most the last `length` events of each row, as a view."""
        return replace(self, starts=np.maximum(self.starts, self.ends - length))

    def positions(self) -> NDArray[np.int64]:
        """Return where each event of the rows stands in the shared arrays, ``(E',)`` in row order."""
        lengths = self.lengths
        offsets = np.cumsum(lengths) - lengths
        total = int(lengths.sum())
        return np.repeat(self.starts - offsets, lengths) + np.arange(total, dtype=np.int64)

    def compact(self) -> "Histories":
        """Return the same rows over contiguous arrays of their own, holding nothing else."""
        positions = self.positions()
        ends = np.cumsum(self.lengths)
        return Histories(self.items[positions], self.timestamps[positions], ends - self.lengths, ends)

    def release(self) -> None:
        """Give the pages of mapped events back to the system, which keeps them where memory is plenty.

        Nothing changes but this process's memory: what is read again comes from the system's cache or the disk.
        """
        for array in (self.items, self.timestamps):
            if isinstance(array.base, mmap) and not array.flags.writeable:
                array.base.madvise(MADV_DONTNEED)

    def flat(self) -> FlatEvents:
        """Return the row number and the item of every event."""
        rows = np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)
        return FlatEvents(rows, self.items[self.positions()])

    @classmethod
    def from_lists(
        cls, items: Sequence[Sequence[int]], timestamps: Sequence[Sequence[int]] | None = None
    ) -> "Histories":
        """Build histories from lists of item indices, oldest first.

        Args:
            items: One list a row.
            timestamps: Microseconds of each event; without them the position counts as seconds.

        Raises:
            DataError: `timestamps` has other lengths than `items`.
        """
        lengths = np.fromiter((len(row) for row in items), dtype=np.int64, count=len(items))
        if timestamps is not None and [len(row) for row in timestamps] != lengths.tolist():
            raise DataError(
                f"histories have rows of {lengths.tolist()[:5]} items and of "
                f"{[len(row) for row in timestamps][:5]} timestamps. Give one timestamp an item."
            )
        ends = np.cumsum(lengths)
        starts = ends - lengths
        total = int(lengths.sum())
        flat = np.fromiter((item for row in items for item in row), dtype=np.int32, count=total)
        if timestamps is None:
            moments = (np.arange(total, dtype=np.int64) - np.repeat(starts, lengths)) * _MICROSECONDS
        else:
            moments = np.fromiter((moment for row in timestamps for moment in row), dtype=np.int64, count=total)
        return cls(flat, moments, starts, ends)

    def save(self, folder: Path) -> None:
        """Write the four arrays as ``.npy`` files into `folder`, which is created."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FIELDS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = True) -> "Histories":
        """Read what `save` wrote.

        Args:
            folder: The folder that `save` was given.
            mmap: Map the files read-only instead of reading them whole.

        Raises:
            DataError: A file is missing or damaged.
        """
        mode: Literal["r"] | None = "r" if mmap else None
        arrays = []
        for name in _FIELDS:
            path = folder / f"{name}.npy"
            try:
                arrays.append(np.load(path, mmap_mode=mode, allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise DataError(
                    f"{path} is missing or damaged ({error}). Build the histories again with Histories.save."
                ) from error
        return cls(*arrays)
