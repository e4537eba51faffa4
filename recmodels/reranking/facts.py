"""What stages know of the items of a catalogue: creator, categories, age, counts, safety label, vector."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.schema import CATEGORY, CREATOR_ID, PUBLISHED_AT
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.factors import FactorScorer
from recmodels.retrieval.newcomers import Newcomers, group_vectors
from recmodels.scorers import EncoderScorer

MISSING = -1
_MOST_CATEGORIES = 8
_DAY = 86_400_000_000
_SAME_CREATOR = 0.5


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts of the W columns of a catalogue, the two special ones included.

    Attributes:
        creators: (W,) int32 number of each item's creator, `MISSING` where it has none.
        categories: (W, M) int32 numbers of its categories, the main one first, filled up with `MISSING`; at most 8.
        ages: (W,) float64 days from its publication to the newest one of the catalogue, NaN where that is not known.
        counts: (W,) int64 training interactions; 0 for newcomers.
        vectors: (V, D) item vectors; None where the model has none.
        new_vectors: (W - V, D) of newcomers.
    """

    creators: NDArray[np.int32]
    categories: NDArray[np.int32]
    ages: NDArray[np.float64]
    counts: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    new_vectors: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, bundle: Bundle, newcomers: Newcomers | None = None) -> "Facts":
        """Return the facts of a bundle's items, and of newcomers behind them."""
        tables = [bundle.items] if newcomers is None else [bundle.items, newcomers.items]
        vectors = vectors_of(bundle)
        new_vectors = None
        if newcomers is not None and vectors is not None:
            new_vectors = group_vectors(newcomers.groups, vectors)[newcomers.group_of]
        width = bundle.vocabulary.size + (0 if newcomers is None else len(newcomers))
        counts = np.zeros(width, dtype=np.int64)
        counts[: bundle.vocabulary.size] = bundle.item_counts
        return cls(
            creators=_padded(_numbers(_column(tables, CREATOR_ID))),
            categories=_categories(_column(tables, CATEGORY)),
            ages=_ages(_column(tables, PUBLISHED_AT)),
            counts=counts,
            vectors=vectors,
            new_vectors=new_vectors,
        )

    @cached_property
    def num_creators(self) -> int:
        """Distinct creators."""
        return int(self.creators.max(initial=MISSING)) + 1

    @cached_property
    def num_categories(self) -> int:
        """Distinct categories."""
        return int(self.categories.max(initial=MISSING)) + 1

    @cached_property
    def category_parts(self) -> NDArray[np.float64]:
        """(W,) by how much an item counts for each of its categories; 0 for one without."""
        counts = (self.categories != MISSING).sum(axis=1)
        parts: NDArray[np.float64] = np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)
        return parts

    @cached_property
    def category_sets(self) -> NDArray[np.intp]:
        """(W,) number of each item's set of categories in `sets`."""
        return self._distinct[1]

    @cached_property
    def sets(self) -> list[tuple[int, ...]]:
        """Every distinct set of categories that some item has, the main one first."""
        return [tuple(number for number in row if number != MISSING) for row in self._distinct[0].tolist()]

    @cached_property
    def _distinct(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        rows, numbers = np.unique(self.categories, axis=0, return_inverse=True)
        return rows, numbers.ravel()

    def similarity(self, columns: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return how alike items are, (n, n), positive semi-definite with 1 on the diagonal.

        The cosine of their vectors; without vectors, one half for the same main category and one half for the same
        creator. An item without a vector or a label is like no other.
        """
        if self.vectors is not None:
            return _cosines(self._gathered(columns, self.vectors))
        shared = _equal(self.categories[columns, 0]) * np.float32(1 - _SAME_CREATOR)
        shared += _equal(self.creators[columns]) * np.float32(_SAME_CREATOR)
        np.fill_diagonal(shared, 1.0)
        return shared

    def _gathered(self, columns: NDArray[np.int32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.new_vectors is None or not len(columns) or int(columns.max()) < len(vectors):
            return vectors[columns]
        gathered = vectors[np.minimum(columns, len(vectors) - 1)]
        is_new = columns >= len(vectors)
        gathered[is_new] = self.new_vectors[columns[is_new] - len(vectors)]
        return gathered


def creators_of(bundle: Bundle) -> NDArray[np.int32]:
    """Return the number of each item's creator, (V,); `MISSING` where it has none."""
    return _padded(_numbers(_column([bundle.items], CREATOR_ID)))


def vectors_of(bundle: Bundle) -> NDArray[np.float32] | None:
    """Return the vectors of a bundle's items, (V, D); None where its model has none."""
    scorer = bundle.scorer
    if isinstance(scorer, EncoderScorer):
        return scorer.item_vectors
    return scorer.item_factors if isinstance(scorer, FactorScorer) else None


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    unit = vectors / np.where(lengths > 0, lengths, 1).astype(np.float32)[:, None]
    cosines: NDArray[np.float32] = unit @ unit.T
    np.fill_diagonal(cosines, 1.0)
    return cosines


def _equal(numbers: NDArray[np.int32]) -> NDArray[np.float32]:
    same: NDArray[np.float32] = ((numbers[:, None] == numbers) & (numbers != MISSING)).astype(np.float32)
    return same


def _column(tables: list[pa.Table], name: str) -> pa.ChunkedArray:
    """Return a column over all tables; null where one of them lacks it."""
    kind = next((table.schema.field(name).type for table in tables if name in table.column_names), pa.string())
    parts = [table[name] if name in table.column_names else pa.nulls(len(table), kind) for table in tables]
    return pa.chunked_array([chunk for part in parts for chunk in getattr(part, "chunks", [part])], kind)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.int32]:
    known = pc.unique(column.drop_null())
    numbers: NDArray[np.int32] = (
        pc.fill_null(pc.index_in(column, value_set=known, skip_nulls=True), MISSING).to_numpy().astype(np.int32)
    )
    return numbers


def _categories(column: pa.ChunkedArray) -> NDArray[np.int32]:
    lists = pc.split_pattern(column.combine_chunks().cast(pa.string()), pattern="|", max_splits=_MOST_CATEGORIES)
    names = lists.flatten()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(column)), lengths)
    is_named = pc.not_equal(names, "").to_numpy(zero_copy_only=False)
    numbers = _numbers(pa.chunked_array([names.filter(pa.array(is_named))], pa.string()))
    rows = rows[is_named]
    places = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_kept = places < _MOST_CATEGORIES
    width = int(places[is_kept].max(initial=0)) + 1
    table = np.full((len(column), width), MISSING, dtype=np.int32)
    table[rows[is_kept], places[is_kept]] = numbers[is_kept]
    return np.vstack([np.full((FIRST_ITEM, width), MISSING, dtype=np.int32), table])


def _ages(column: pa.ChunkedArray) -> NDArray[np.float64]:
    ages = np.full(len(column) + FIRST_ITEM, np.nan)
    if pa.types.is_timestamp(column.type):
        moments = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        known = pc.is_valid(moments).to_numpy()
        values = pc.fill_null(moments, 0).to_numpy()
        ages[FIRST_ITEM:][known] = (values[known].max(initial=0) - values[known]) / _DAY
    return ages


def _padded(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([np.full(FIRST_ITEM, MISSING, dtype=np.int32), numbers])
