"""What a batch of lists must hold and must leave out, in numbers: asks as a ranker works on them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import UNKNOWN
from recmodels.retrieval.catalogue import HIDDEN, Catalogue, Shelf
from recmodels.slates import Ask

_FEW = 32
"""Hidden columns are named rather than compared with where they are fewer than one in so many."""


@dataclass(frozen=True, eq=False)
class Wish:
    """B lists that are wanted.

    Attributes:
        histories: B histories of the vocabulary's indices.
        k: Most items a list.
        shelves: What may be shown to anybody.
        shelf_of: (B,) which shelf is a row's.
        rows: Row of each cell that is left out beside what is not on the shelf.
        columns: Column of each such cell, in the catalogue.
    """

    histories: Histories
    k: int
    shelves: tuple[Shelf, ...]
    shelf_of: NDArray[np.intp]
    rows: NDArray[np.int64]
    columns: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.histories)

    def part(self, chosen: NDArray[np.int64]) -> "Wish":
        """Return some of the lists, in ascending order."""
        numbers = np.full(len(self), -1, dtype=np.int64)
        numbers[chosen] = np.arange(len(chosen))
        is_kept = numbers[self.rows] >= 0
        rows, columns = numbers[self.rows[is_kept]], self.columns[is_kept]
        return Wish(self.histories.take(chosen), self.k, self.shelves, self.shelf_of[chosen], rows, columns)

    def hide(self, scores: NDArray[np.float32], *, start: int = 0) -> None:
        """Set what must not be shown to -inf.

        Args:
            scores: (B, C) of the catalogue's columns from `start` on; changed in place.
            start: First column.
        """
        end = start + scores.shape[1]
        if len(self.shelves) == 1:
            scores += self.shelves[0].penalties[start:end]
        else:
            for number, shelf in enumerate(self.shelves):
                scores[self.shelf_of == number] += shelf.penalties[start:end]
        inside = (self.columns >= start) & (self.columns < end)
        scores[self.rows[inside], self.columns[inside] - start] = -np.inf

    def hide_coarse(self, scores: NDArray[np.int32]) -> None:
        """Set what must not be shown to `HIDDEN`; of the vocabulary's columns, (B, V), changed in place."""
        size = scores.shape[1]
        if len(self.shelves) == 1:
            _hide(scores, self.shelves[0])
        else:
            for row, number in enumerate(self.shelf_of.tolist()):
                _hide(scores[row], self.shelves[number])
        inside = self.columns < size
        scores[self.rows[inside], self.columns[inside]] = HIDDEN

    def hide_candidates(self, scores: NDArray[np.float32], columns: NDArray[np.int32]) -> None:
        """Set candidates that must not be shown to -inf.

        Args:
            scores: (B, C); changed in place.
            columns: (B, C) the catalogue's column of each.
        """
        if len(self.shelves) == 1:
            scores += self.shelves[0].penalties[columns]
        else:
            for number, shelf in enumerate(self.shelves):
                rows = self.shelf_of == number
                scores[rows] += shelf.penalties[columns[rows]]
        if len(self.rows):
            size = len(self.shelves[0].penalties)
            left_out = np.sort(self.rows * size + self.columns)
            keys = np.arange(len(self))[:, None] * size + columns
            nearest = left_out[np.minimum(np.searchsorted(left_out, keys), len(left_out) - 1)]
            scores[nearest == keys] = -np.inf


def read_asks(asks: Sequence[Ask], catalogue: Catalogue, *, blocked: Collection[str], remove_seen: bool) -> Wish:
    """Return asks in numbers.

    Args:
        asks: At least one.
        catalogue: What may be shown.
        blocked: Ids to leave out for everybody.
        remove_seen: Leave out the items of each history.

    Raises:
        ValueError: A `k` is below 1, or there is not one timestamp an item.
    """
    lengths = np.fromiter((len(ask.item_ids) for ask in asks), dtype=np.int64, count=len(asks))
    rows = np.repeat(np.arange(len(asks)), lengths)
    moments = np.concatenate([_moments(ask) for ask in asks])
    order = np.lexsort((moments, rows))
    columns = catalogue.encode([*chain.from_iterable(ask.item_ids for ask in asks)])[order]
    items = np.where(columns < catalogue.vocabulary.size, columns, UNKNOWN)  # the model knows no newcomer
    ends = np.cumsum(lengths)
    shelves: dict[int, tuple[int, Shelf]] = {}
    shelf_of = np.zeros(len(asks), dtype=np.intp)
    for row, ask in enumerate(asks):
        shelf = catalogue.shelf(ask.surface, blocked, ask.age)
        shelf_of[row] = shelves.setdefault(id(shelf), (len(shelves), shelf))[0]
    left_out = [*chain.from_iterable(ask.exclude for ask in asks)]
    if not remove_seen:
        rows, columns = rows[:0], columns[:0]
    if left_out:
        counts = [len(ask.exclude) for ask in asks]
        rows = np.concatenate([rows, np.repeat(np.arange(len(asks)), counts)])
        columns = np.concatenate([columns, catalogue.encode(left_out)])
    return Wish(
        histories=Histories(items, moments[order], ends - lengths, ends),
        k=max(ask.k for ask in asks),
        shelves=tuple(shelf for _, shelf in shelves.values()),
        shelf_of=shelf_of,
        rows=rows,
        columns=columns,
    )


def _hide(scores: NDArray[np.int32], shelf: Shelf) -> None:
    """Set the scores, (..., V), of what is not on a shelf to `HIDDEN`: one by one where that is little."""
    size = scores.shape[-1]
    if _FEW * len(shelf.hidden) < size:
        scores[..., shelf.hidden[: np.searchsorted(shelf.hidden, size)]] = HIDDEN
    else:
        np.minimum(scores, shelf.ceilings[:size], out=scores)


def _moments(ask: Ask) -> NDArray[np.int64]:
    """Return when each event of the history was, checking the ask on the way."""
    if ask.k < 1:
        raise ValueError(f"k is {ask.k}; ask for at least 1 item.")
    count = len(ask.item_ids)
    if ask.timestamps is None:
        return np.arange(count, dtype=np.int64)
    moments = np.asarray(ask.timestamps, dtype=np.int64)
    if len(moments) != count:
        raise ValueError(f"the history has {count} items and {len(moments)} timestamps; give one an item.")
    return moments
