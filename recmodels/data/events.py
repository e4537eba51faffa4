"""Positive events as arrays, sorted by user and time: what a split cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import ITEM_ID, SURFACE, TIMESTAMP, USER_ID
from recmodels.data.vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True, eq=False)
class Events:
    """Positive events sorted by user and time.

    Attributes:
        items: ``(E,)`` raw item ids.
        surfaces: ``(E,)`` surfaces.
        timestamps: ``(E,)`` microseconds since 1970 UTC.
        user_ids: ``(U,)`` raw ids.
        user_starts: ``(U + 1,)`` first event of each user, then E.
    """

    items: pa.Array
    surfaces: pa.Array
    timestamps: NDArray[np.int64]
    user_ids: NDArray[np.str_]
    user_starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.timestamps)


@dataclass(frozen=True, eq=False)
class EncodedEvents:
    """Events as indices of a vocabulary, and the same without the unknown ones.

    Attributes:
        events: The events.
        vocabulary: The catalogue.
        items: ``(E,)`` indices, `UNKNOWN` outside the catalogue.
        known_items: ``(K,)`` indices of the catalogue's events.
        known_timestamps: ``(K,)`` their timestamps.
        known_surfaces: ``(K,)`` their surfaces, as places in `surface_names`.
        surface_names: Every surface of the events, in order.
        known_before: ``(E + 1,)`` number of known events before each event.
    """

    events: Events
    vocabulary: Vocabulary
    items: NDArray[np.int32]
    known_items: NDArray[np.int32]
    known_timestamps: NDArray[np.int64]
    known_surfaces: NDArray[np.int32]
    surface_names: tuple[str, ...]
    known_before: NDArray[np.int64]

    @classmethod
    def of(cls, events: Events, vocabulary: Vocabulary) -> EncodedEvents:
        """Encode events; those outside the vocabulary stay in `items` only."""
        items = vocabulary.encode(events.items)
        known = items != UNKNOWN
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(known, dtype=np.int64)])
        names = pc.unique(events.surfaces).sort()
        surfaces: NDArray[np.int32] = pc.index_in(events.surfaces, value_set=names).to_numpy(zero_copy_only=False)
        return cls(
            events=events,
            vocabulary=vocabulary,
            items=items,
            known_items=items[known],
            known_timestamps=events.timestamps[known],
            known_surfaces=surfaces[known],
            surface_names=tuple(names.to_pylist()),
            known_before=before,
        )


def sorted_events(table: pa.Table) -> Events:
    """Read what `recmodels.data.interactions.positives` returned, of at least one row."""
    users = table[USER_ID].combine_chunks().dictionary_encode()
    codes: NDArray[np.int64] = users.indices.to_numpy().astype(np.int64)
    timestamps: NDArray[np.int64] = table[TIMESTAMP].cast(pa.int64()).to_numpy()
    assert (np.diff(codes) >= 0).all(), "positives must be sorted by user"
    assert ((np.diff(timestamps) >= 0) | (np.diff(codes) > 0)).all(), "a user's positives must be sorted by time"
    return Events(
        items=table[ITEM_ID].combine_chunks(),
        surfaces=table[SURFACE].combine_chunks(),
        timestamps=timestamps,
        user_ids=np.array(users.dictionary.to_pylist(), dtype=np.str_),
        user_starts=np.searchsorted(codes, np.arange(len(users.dictionary) + 1)).astype(np.int64),
    )


def starts_of_ties(events: Events) -> NDArray[np.bool_]:
    """Tell which events are the first of their user at their timestamp, ``(E,)``."""
    starts = np.ones(len(events), dtype=np.bool_)
    starts[1:] = np.diff(events.timestamps) != 0
    starts[events.user_starts[:-1]] = True
    return starts
