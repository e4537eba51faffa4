"""The features of one request's candidates, made of rows that are laid out once: what a gateway runs.

The columns are those of `FeatureBuilder`, computed by the same functions; what no request changes (counts, durations,
places in vocabularies) is standardised once for the whole catalogue, which takes 4 F bytes an item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.schema import SURFACE
from recmodels.data.vocabulary import UNKNOWN
from recmodels.ranking.columns import (
    HISTORY_NUMBERS,
    ITEM_NUMBERS,
    is_duration,
    item_numbers,
    past_numbers,
    rate_columns,
    shared_history_numbers,
)
from recmodels.ranking.days import local_days, local_hours, weekdays
from recmodels.ranking.examples import Examples
from recmodels.ranking.lookup import Lookup
from recmodels.ranking.queries import query_tokens
from recmodels.ranking.shown import RankingRequest
from recmodels.ranking.snapshots import count_names
from recmodels.ranking.state import FeatureState

_ROWS_AT_ONCE = 2**15


@dataclass(frozen=True, eq=False)
class Asked:
    """A request in numbers.

    Attributes:
        items: ``(L,)`` history, index in the vocabulary, in the order of time.
        timestamps: ``(L,)`` microseconds of each, or places in the order where `has_times` is False.
        has_times: The timestamps are times.
        moment: Microseconds now; events that are not earlier are left out.
        surface: Where the list is shown; None is one never seen.
        query: What was searched for.
        attributes: Attributes of the user by name.
    """

    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    has_times: bool
    moment: int
    surface: str | None = None
    query: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


class RequestFeatures:
    """Builds the features of a request's candidates.

    Args:
        state: What was found in the training part, with the counts that are served.
        lookup: Of the state, where it was laid out already.
    """

    def __init__(self, state: FeatureState, lookup: Lookup | None = None) -> None:
        self.state, self.spec, self.config = state, state.spec, state.config
        self.lookup = lookup or Lookup.of(state)
        names = (*rate_columns(state.rates), *ITEM_NUMBERS, *HISTORY_NUMBERS)
        kept = np.array([names.index(name) for name in self.spec.numeric], dtype=np.intp)
        first = len(names) - len(HISTORY_NUMBERS) - 1  # an item's age and what its history says hang on the request
        self._places = np.flatnonzero(kept >= first)
        self._own = kept[self._places] - first
        self._means, self._scales = state.means[self._places], state.scales[self._places]
        self._numbers = self._laid_out(kept)
        known = self.lookup.known
        durations = np.where(is_duration(known.durations), known.durations, np.nan)
        self._durations = durations.astype(np.float32)

    def asked(self, request: RankingRequest) -> Asked:
        """Return a request in numbers.

        Raises:
            ValueError: There is not one timestamp an event.
        """
        items = self.state.vocabulary.encode(list(request.history))
        moments = np.arange(len(items), dtype=np.int64)
        if request.timestamps is not None:
            moments = np.asarray(request.timestamps, dtype=np.int64)
            if len(moments) != len(items):
                raise ValueError(f"the history has {len(items)} items and {len(moments)} timestamps; give one an item.")
            order = np.argsort(moments, kind="stable")
            items, moments = items[order], moments[order]
        return Asked(
            items=items,
            timestamps=moments,
            has_times=request.timestamps is not None,
            moment=request.moment,
            surface=request.surface,
            query=request.query,
            attributes=request.attributes,
        )

    def rows_of(self, items: Sequence[str]) -> NDArray[np.int32]:
        """Return the row of each item; -1 for one that the catalogue lacks."""
        rows = self.lookup.rows
        return np.fromiter((rows.get(item, -1) for item in items), dtype=np.int32, count=len(items))

    def examples(self, asked: Asked, rows: NDArray[np.int32]) -> Examples:
        """Return candidates, by their rows, as exposures of now; labels and watch time are NaN."""
        size, known = len(rows), self.lookup.known
        history = self._history(asked)
        unknown = np.full(size, np.nan, dtype=np.float32)
        places = self.lookup.value_places
        return Examples(
            spec=self.spec,
            items=known.items[rows],
            histories=replace(history, starts=np.zeros(size, np.int64), ends=np.full(size, len(history.items))),
            categorical=self._categorical(asked, rows),
            numeric=self._numeric(asked, rows, history),
            surfaces=np.full(size, places[SURFACE].get(asked.surface or "", 0), dtype=np.int32),
            users=np.zeros(size, dtype=np.int32),
            timestamps=np.full(size, asked.moment, dtype=np.int64),
            labels=np.full((size, len(self.spec.tasks)), np.nan, dtype=np.float32),
            watch_seconds=unknown,
            duration_seconds=self._durations[rows],
            queries=self._queries(asked.query, size),
        )

    def _history(self, asked: Asked) -> Histories:
        """Return known items strictly before now, the last L of them, as the one row of its own."""
        is_kept = asked.items != UNKNOWN
        if asked.has_times:
            is_kept &= asked.timestamps < asked.moment
        kept = np.flatnonzero(is_kept)[-self.config.max_history :]
        return Histories(asked.items[kept], asked.timestamps[kept], np.zeros(1, np.int64), np.full(1, len(kept)))

    def _categorical(self, asked: Asked, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        offset, lookup = self.config.utc_offset_hours, self.lookup
        moment = np.array([asked.moment], dtype=np.int64)
        days = local_days(moment, utc_offset_hours=offset)
        found = np.empty((len(rows), len(self.spec.categorical)), dtype=np.int32)
        found[:, 0], found[:, 1] = lookup.creator_places[rows], lookup.category_places[rows]
        found[:, 2], found[:, 3] = local_hours(moment, utc_offset_hours=offset) + 1, weekdays(days) + 1
        for column, name in enumerate(self.config.user_attributes, start=4):
            found[:, column] = lookup.value_places[name].get(asked.attributes.get(name, ""), 0)
        return found

    def _numeric(self, asked: Asked, rows: NDArray[np.int32], history: Histories) -> NDArray[np.float32]:
        numbers: NDArray[np.float32] = self._numbers[rows]
        candidates = self.lookup.candidates(rows)
        own = [
            item_numbers(candidates, np.full(len(rows), asked.moment, dtype=np.int64))[1],
            *shared_history_numbers(
                history,
                candidates,
                asked.moment,
                creators=self.lookup.creator_of_index,
                categories=self.lookup.category_of_index,
                has_times=asked.has_times,
            ),
        ]
        raw = np.stack(own, axis=1)[:, self._own]
        numbers[:, self._places] = standardised(raw, self._means, self._scales, clip=self.config.clip)
        return numbers

    def _queries(self, query: str | None, size: int) -> NDArray[np.int32] | None:
        if not self.spec.max_query:
            return None
        if query is None:
            return np.broadcast_to(np.zeros((1, self.spec.max_query), np.int32), (size, self.spec.max_query))
        tokens = query_tokens(
            pa.array([query], pa.string()),
            buckets=self.spec.query_buckets,
            max_tokens=self.spec.max_query,
            max_letters=self.config.max_query_letters,
        )
        return np.broadcast_to(tokens, (size, self.spec.max_query))  # one row in memory, which `inputs_of` notices

    def _laid_out(self, kept: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the standardised numbers of every item that no request changes; 0 in the other columns."""
        size, lookup, names = len(self.lookup.known.items), self.lookup, count_names(self.state.rates)
        numbers = np.zeros((size, len(kept)), dtype=np.float32)
        fixed = np.flatnonzero(~np.isin(np.arange(len(kept)), self._places))
        means, scales = self.state.means[fixed], self.state.scales[fixed]
        for start in range(0, size, _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, size), dtype=np.int32)
            rows[rows == size - 1] = -1  # the item that the catalogue lacks
            keys = lookup.keys(rows)
            past = past_numbers(
                {kind: lookup.counts[kind][found] for kind, found in keys.items()},
                {kind: found >= 0 for kind, found in keys.items()},
                rates=[names.index(rate) for rate in self.state.rates],
                watch=names.index("watch_milliseconds"),
                smoothing=self.config.smoothing,
            )
            lengths = item_numbers(lookup.candidates(rows), np.zeros(len(rows), np.int64))[0]
            raw = np.concatenate([past, lengths[:, None]], axis=1)[:, kept[fixed]]
            numbers[start : start + len(rows), fixed] = standardised(raw, means, scales, clip=self.config.clip)
        return numbers


def standardised(
    raw: NDArray[np.float64], means: NDArray[np.float64], scales: NDArray[np.float64], *, clip: float
) -> NDArray[np.float32]:
    """Return numbers in standard deviations from their means; 0 for what is not finite."""
    values = np.minimum(np.maximum((raw - means) / scales, -clip), clip)
    return np.where(np.isfinite(raw), values, 0.0).astype(np.float32)


def together(parts: Sequence[Examples]) -> Examples:
    """Return the exposures of several requests, at least one, as one table; each keeps its own history."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part.histories.items) for part in parts)])[:-1].tolist()
    pairs = list(zip(parts, offsets, strict=True))
    queries = [part.queries for part in parts if part.queries is not None]

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Examples(
        spec=parts[0].spec,
        items=joined("items"),
        histories=Histories(
            np.concatenate([part.histories.items for part in parts]),
            np.concatenate([part.histories.timestamps for part in parts]),
            np.concatenate([part.histories.starts + offset for part, offset in pairs]),
            np.concatenate([part.histories.ends + offset for part, offset in pairs]),
        ),
        categorical=joined("categorical"),
        numeric=joined("numeric"),
        surfaces=joined("surfaces"),
        users=joined("users"),
        timestamps=joined("timestamps"),
        labels=joined("labels"),
        watch_seconds=joined("watch_seconds"),
        duration_seconds=joined("duration_seconds"),
        queries=np.concatenate(queries) if queries else None,
    )
