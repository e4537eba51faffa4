"""The catalogue as numbers: raw item ids at the edge, contiguous indices inside."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import ITEM_ID
from recmodels.errors import DataError

PADDING = 0
UNKNOWN = 1
FIRST_ITEM = 2

_TEXTS_AT_ONCE = 65_536
_SPECIAL = np.array(["<padding>", "<unknown>"])


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The items that a model knows; item `ids[n]` has index ``n + 2``.

    Attributes:
        ids: ``(N,)`` raw ids in index order, without the two special entries 0 (padding) and 1 (unknown).
    """

    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """V = N + 2: the length of every score vector."""
        return len(self.ids) + FIRST_ITEM

    @cached_property
    def _index(self) -> dict[str, int]:
        return {raw: index for index, raw in enumerate(self.ids.tolist(), start=FIRST_ITEM)}

    @cached_property
    def _value_set(self) -> pa.Array:
        return pa.array(self.ids, type=pa.string())

    def encode(self, ids: Sequence[str] | NDArray[np.str_] | pa.Array) -> NDArray[np.int32]:
        """Return the index of each id; an unknown or null id becomes 1.

        Args:
            ids: ``(E,)`` raw ids. Lists are looked up one by one (quick for a request), arrays all at once.

        Returns:
            ``(E,)`` int32.
        """
        if isinstance(ids, list | tuple):
            return np.fromiter(map(self._index.get, ids, repeat(UNKNOWN)), dtype=np.int32, count=len(ids))
        values = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(np.asarray(ids), type=pa.string())
        found = pc.index_in(values, value_set=self._value_set)
        indices: NDArray[np.int32] = pc.fill_null(pc.add(found, FIRST_ITEM), UNKNOWN).to_numpy()
        return indices.astype(np.int32, copy=False)

    def decode(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.str_]:
        """Return the raw id of each index; 0 is ``<padding>`` and 1 ``<unknown>``."""
        return self._names[np.asarray(indices, dtype=np.int64)]

    @cached_property
    def _names(self) -> NDArray[np.str_]:
        return np.concatenate([_SPECIAL, self.ids])

    @classmethod
    def build(cls, item_ids: Sequence[str] | NDArray[np.str_] | pa.Array) -> "Vocabulary":
        """Number the distinct ids in the order of a fixed hash, so that an index says nothing of time or popularity.

        Args:
            item_ids: Raw ids, repeated or not, in any order; nulls are left out.
        """
        values = item_ids if isinstance(item_ids, pa.Array | pa.ChunkedArray) else pa.array(item_ids, type=pa.string())
        distinct = pc.unique(values).drop_null().to_pylist()
        return cls(np.array(_in_order(distinct), dtype=np.str_))

    def to_table(self) -> pa.Table:
        """Return the ids in index order as a table of one column."""
        return pa.table({ITEM_ID: self._value_set})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Vocabulary":
        """Read what `to_table` returned.

        Raises:
            DataError: The column is missing, or an id is null or stands twice.
        """
        if ITEM_ID not in table.column_names:
            raise DataError(f"the vocabulary has columns {table.column_names}; expected {ITEM_ID!r}.")
        ids = table[ITEM_ID]
        if ids.null_count or pc.count_distinct(ids).as_py() != len(ids):
            raise DataError(
                f"the vocabulary's {len(ids)} ids hold {ids.null_count} nulls and "
                f"{pc.count_distinct(ids).as_py()} distinct values; every id must stand in it once."
            )
        return cls(_as_array(ids))


def _as_array(ids: pa.ChunkedArray) -> NDArray[np.str_]:
    """Return texts without nulls as an array of NumPy's; of Python's, which are far larger, only some exist at once."""
    longest = pc.max(pc.utf8_length(ids)).as_py() or 1
    found = np.empty(len(ids), dtype=f"U{longest}")
    for start in range(0, len(ids), _TEXTS_AT_ONCE):
        found[start : start + _TEXTS_AT_ONCE] = ids.slice(start, _TEXTS_AT_ONCE).to_pylist()
    return found


def _in_order(distinct: list[str]) -> list[str]:
    """Sort ids by the first 64 bits of their BLAKE2b and, should two be equal there, by themselves."""
    digests = b"".join([hashlib.blake2b(raw.encode(), digest_size=8).digest() for raw in distinct])
    keys = np.frombuffer(digests, dtype=">u8").astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        order = np.lexsort((np.array(distinct, dtype=np.str_), keys))
    return [distinct[place] for place in order.tolist()]
