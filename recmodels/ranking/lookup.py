"""What is known of each item as arrays, so that a row of numbers answers what training and requests both ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import CATEGORY, CREATOR_ID, DURATION_SECONDS, ITEM_ID, PUBLISHED_AT, SURFACE
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN
from recmodels.ranking.columns import COUNTED, EVERYTHING, Candidates
from recmodels.ranking.state import CREATOR, FeatureState, codes_of


@dataclass(frozen=True, eq=False)
class Lookup:
    """R items in the order of a state's catalogue; every array has one row more, that of an item it lacks.

    Attributes:
        rows: Item id -> row.
        known: What is known of each item.
        creator_places: ``(R + 1,)`` index of the creator among the values of its categorical column.
        category_places: ``(R + 1,)`` index of the main category, likewise.
        creator_of_index: ``(V,)`` number of the creator of each item of the vocabulary; -1 where it is not known.
        category_of_index: ``(V,)`` number of the main category, likewise.
        value_places: Column -> value -> index, of the surface and of user attributes.
        counts: Kind of key -> ``(keys + 1, W, K)`` what is counted in the state's snapshot.
    """

    rows: dict[str, int]
    known: Candidates
    creator_places: NDArray[np.int32]
    category_places: NDArray[np.int32]
    creator_of_index: NDArray[np.int32]
    category_of_index: NDArray[np.int32]
    value_places: dict[str, dict[str, int]]
    counts: dict[str, NDArray[np.int64]]

    @classmethod
    def of(cls, state: FeatureState) -> "Lookup":
        """Lay out what a state knows."""
        table = state.catalogue
        creators, creator_names = codes_of(table[CREATOR_ID])
        categories, category_names = codes_of(table[CATEGORY])
        known = Candidates(
            items=_with_missing(state.vocabulary.encode(table[ITEM_ID]), UNKNOWN),
            creators=_with_missing(creators, -1),
            categories=_with_missing(categories, -1),
            durations=_with_missing(numbers_of(table[DURATION_SECONDS]), np.nan),
            published=_with_missing(numbers_of(table[PUBLISHED_AT].cast(pa.int64())), np.nan),
        )
        of_index = np.full(state.vocabulary.size, -1, dtype=np.int32)  # row of each index; -1 is the row that lacks all
        of_index[known.items[:-1]] = np.arange(table.num_rows)
        of_index[:FIRST_ITEM] = -1
        names = (SURFACE, *state.config.user_attributes)
        values = dict(state.values) | {SURFACE: state.spec.surfaces[1:]}
        return cls(
            rows={item: row for row, item in enumerate(table[ITEM_ID].to_pylist())},
            known=known,
            creator_places=_with_missing(places_of(creator_names, state.values[CREATOR]), 0)[known.creators],
            category_places=_with_missing(places_of(category_names, state.values[CATEGORY]), 0)[known.categories],
            creator_of_index=known.creators[of_index],
            category_of_index=known.categories[of_index],
            value_places={name: {value: place + 1 for place, value in enumerate(values[name])} for name in names},
            counts={kind: _with_missing(counts, 0) for kind, counts in state.snapshot.counts.items()},
        )

    def item_rows(self, ids: pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the row of each item; -1 for one that the catalogue lacks."""
        return places_of(ids, list(self.rows)) - 1

    def keys(self, rows: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
        """Return what the counts of each item stand under, by kind; -1 where it has no such key."""
        everything = np.zeros(len(rows), dtype=np.int32)
        keys = (rows, self.known.creators[rows], self.known.categories[rows], everything)
        return dict(zip((*COUNTED, EVERYTHING), keys, strict=True))

    def candidates(self, rows: NDArray[np.int32]) -> Candidates:
        """Return what is known of some items."""
        known = self.known
        return Candidates(
            items=known.items[rows],
            creators=known.creators[rows],
            categories=known.categories[rows],
            durations=known.durations[rows],
            published=known.published[rows],
        )


def places_of(column: pa.Array | pa.ChunkedArray, values: Sequence[str]) -> NDArray[np.int32]:
    """Return the place of each value from 1 on; 0 for one that is null or not among them."""
    found = pc.index_in(column.cast(pa.string()), value_set=pa.array(values, pa.string()))
    places: NDArray[np.int32] = pc.fill_null(found, -1).to_numpy()
    return (places + 1).astype(np.int32)


def numbers_of(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column as float64, NaN for null."""
    numbers: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return numbers.astype(np.float64)


def _with_missing(values: NDArray[Any], missing: float) -> NDArray[Any]:
    """Append the row that -1 finds."""
    last = np.full((1, *values.shape[1:]), missing, dtype=values.dtype)
    return np.concatenate([values, last])
