"""The features of a ranker, built by one function for a data set and for the candidates of a request.

A number that is missing, not finite or out of its range (a duration of 0 or of more than 115 days, an item published
after its exposure) becomes 0, the mean; one further than `FeatureConfig.clip` standard deviations from it is brought
there. A surface, creator, category, attribute or item that training did not see has index 0 (an item 1).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import DURATION_SECONDS, ITEM_ID, QUERY, SURFACE, USER_ID, WATCH_SECONDS, Tables
from recmodels.ranking.columns import (
    HISTORY_NUMBERS,
    ITEM_NUMBERS,
    history_numbers,
    is_duration,
    item_numbers,
    past_numbers,
    rate_columns,
)
from recmodels.ranking.days import local_days, local_hours, weekdays
from recmodels.ranking.examples import Examples
from recmodels.ranking.exposures import Exposures
from recmodels.ranking.lookup import Lookup, numbers_of, places_of
from recmodels.ranking.queries import query_tokens
from recmodels.ranking.requests import RequestFeatures, standardised
from recmodels.ranking.shown import Outcomes, RankingRequest, Shown
from recmodels.ranking.snapshots import MOST_SECONDS, DailyCounts, Snapshots, count_names
from recmodels.ranking.state import FeatureState, key_sizes

_ROWS_AT_ONCE: Final = 2**15


def numeric_names(tasks: Sequence[str], rates: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all numeric columns, in their order."""
    return (*rate_columns([rate for rate in rates if rate in tasks]), *ITEM_NUMBERS, *HISTORY_NUMBERS)


class FeatureBuilder:
    """Builds the same features for a table of exposures and for the candidates of a request.

    Args:
        state: What `recmodels.ranking.fitting.fit_features` found in the training part.
    """

    def __init__(self, state: FeatureState) -> None:
        self.state = state
        self.spec, self.config = state.spec, state.config
        self._lookup = Lookup.of(state)
        names = numeric_names(self.spec.tasks, self.config.rates)
        self._kept = np.array([names.index(name) for name in self.spec.numeric], dtype=np.intp)

    def examples(self, tables: Tables, *, frozen_from: datetime | None = None) -> Examples:
        """Return every exposure of a data set with what was known before it, in the order of time.

        Args:
            tables: Exposures and users; items are those of the state.
            frozen_from: Exposures from then on see the counts of that day, as behind a bundle that is not refreshed;
                None gives each exposure those of its own day.

        Raises:
            DataError: There is no exposure.
        """
        exposures = Exposures.of(tables.interactions)
        shown, table = self._read(exposures, tables.users), exposures.table
        outcomes = Outcomes(
            users=exposures.users,
            labels=np.stack([numbers_of(table[task]) for task in self.spec.tasks], axis=1).astype(np.float32),
            watched=numbers_of(table[WATCH_SECONDS]),
            durations=numbers_of(table[DURATION_SECONDS]),
        )
        blocks = self._raw_blocks(exposures, shown, frozen_from=frozen_from)
        numeric = np.concatenate([self._standardised(raw) for raw in blocks])
        return self._examples(shown, numeric, outcomes).take(exposures.by_time())

    def for_request(self, request: RankingRequest, candidates: Sequence[str]) -> Examples:
        """Return the candidates of one request as exposures of now, with the counts of the state's snapshot.

        Args:
            request: Who asks for what, where and when.
            candidates: C item ids; one that the catalogue lacks has neither index, content nor counts.

        Returns:
            C rows in the order of `candidates`; labels and watch time are NaN.

        Raises:
            ValueError: There is not one timestamp an event.
        """
        return self.requests.examples(self.requests.asked(request), self.requests.rows_of(candidates))

    @cached_property
    def requests(self) -> RequestFeatures:
        """What builds the features of requests."""
        return RequestFeatures(self.state, self._lookup)

    def snapshots(self, interactions: pa.Table) -> Snapshots:
        """Count what came of the exposures of each day, by item, creator and category of the catalogue."""
        exposures = Exposures.of(interactions)
        return self._snapshots(exposures, self._lookup.item_rows(exposures.table[ITEM_ID]))

    def refreshed(self, interactions: pa.Table, *, moment: datetime) -> "FeatureBuilder":
        """Return a builder with the counts to the end of the day before `moment`, as a nightly job publishes them."""
        day = int(self._days(np.array([as_microseconds(moment)], dtype=np.int64))[0])
        return FeatureBuilder(replace(self.state, snapshot=self.snapshots(interactions).at(day)))

    def with_items(self, items: pa.Table) -> "FeatureBuilder":
        """Return a builder that also knows these items (schema `ITEMS`), such as were published since."""
        return FeatureBuilder(self.state.with_items(items))

    def raw_numbers(self, exposures: Exposures, users: pa.Table) -> Iterator[NDArray[np.float64]]:
        """Give the numbers of exposures before they are standardised, ``(n, F)`` a block; NaN where missing."""
        return self._raw_blocks(exposures, self._read(exposures, users), frozen_from=None)

    @property
    def _attributes(self) -> tuple[str, ...]:
        return self.config.user_attributes

    def _read(self, exposures: Exposures, users: pa.Table) -> Shown:
        table, config = exposures.table, self.config
        people = pc.index_in(table[USER_ID], value_set=users[USER_ID].combine_chunks())
        columns = [places_of(users[name].take(people), self.state.values[name]) for name in self._attributes]
        label, vocabulary = config.history_label, self.state.vocabulary
        return Shown(
            rows=self._lookup.item_rows(table[ITEM_ID]),
            histories=exposures.histories(vocabulary, label=label, max_history=config.max_history),
            moments=exposures.timestamps,
            surfaces=places_of(table[SURFACE], self.spec.surfaces[1:]),
            attributes=np.stack(columns, axis=1) if columns else np.zeros((len(exposures), 0), dtype=np.int32),
            queries=self._tokens(table[QUERY].combine_chunks()),
            has_times=True,
        )

    def _tokens(self, queries: pa.Array) -> NDArray[np.int32] | None:
        if not self.spec.max_query:
            return None
        letters = self.config.max_query_letters
        return query_tokens(
            queries, buckets=self.spec.query_buckets, max_tokens=self.spec.max_query, max_letters=letters
        )

    def _snapshots(self, exposures: Exposures, rows: NDArray[np.int32]) -> Snapshots:
        days, keys = self._days(exposures.timestamps), self._lookup.keys(rows)
        rates, table = self.state.rates, exposures.table
        kinds = {kind: DailyCounts.of(table, keys=keys[kind], days=days, outcomes=rates) for kind in keys}
        return Snapshots(kinds, key_sizes(self.state.catalogue))

    def _raw_blocks(
        self, exposures: Exposures, shown: Shown, *, frozen_from: datetime | None
    ) -> Iterator[NDArray[np.float64]]:
        days = self._days(shown.moments)
        if frozen_from is not None:
            days = np.minimum(days, self._days(np.array([as_microseconds(frozen_from)], dtype=np.int64)))
        snapshots, keys = self._snapshots(exposures, shown.rows), self._lookup.keys(shown.rows)
        counts = {kind: daily.before(keys[kind], days) for kind, daily in snapshots.kinds.items()}
        for start in range(0, len(exposures), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            yield self._raw(shown.part(rows), {kind: found.of(rows) for kind, found in counts.items()})

    def _examples(self, shown: Shown, numeric: NDArray[np.float32], outcomes: Outcomes) -> Examples:
        known, durations = self._lookup.known, outcomes.durations
        durations = np.where(is_duration(durations), durations, known.durations[shown.rows])
        is_watched = (outcomes.watched >= 0) & (outcomes.watched <= MOST_SECONDS)
        return Examples(
            spec=self.spec,
            items=known.items[shown.rows],
            histories=shown.histories,
            categorical=self._categorical(shown),
            numeric=numeric,
            surfaces=shown.surfaces,
            users=outcomes.users,
            timestamps=shown.moments,
            labels=outcomes.labels,
            watch_seconds=_where(is_watched, outcomes.watched),
            duration_seconds=_where(is_duration(durations), durations),
            queries=shown.queries,
        )

    def _categorical(self, shown: Shown) -> NDArray[np.int32]:
        offset, lookup = self.config.utc_offset_hours, self._lookup
        hours = local_hours(shown.moments, utc_offset_hours=offset) + 1
        days = weekdays(self._days(shown.moments)) + 1
        of_item = [lookup.creator_places[shown.rows], lookup.category_places[shown.rows]]
        return np.stack([*of_item, hours, days, *shown.attributes.T], axis=1).astype(np.int32)

    def _raw(self, shown: Shown, counts: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
        lookup, names = self._lookup, count_names(self.state.rates)
        candidates = lookup.candidates(shown.rows)
        past = past_numbers(
            counts,
            {kind: keys >= 0 for kind, keys in lookup.keys(shown.rows).items()},
            rates=[names.index(rate) for rate in self.state.rates],
            watch=names.index("watch_milliseconds"),
            smoothing=self.config.smoothing,
        )
        history = history_numbers(
            shown.histories,
            candidates,
            shown.moments,
            creators=lookup.creator_of_index,
            categories=lookup.category_of_index,
            has_times=shown.has_times,
        )
        own = np.stack([*item_numbers(candidates, shown.moments), *history], axis=1)
        return np.concatenate([past, own], axis=1)[:, self._kept]

    def _standardised(self, raw: NDArray[np.float64]) -> NDArray[np.float32]:
        return standardised(raw, self.state.means, self.state.scales, clip=self.config.clip)

    def _days(self, moments: NDArray[np.int64]) -> NDArray[np.int32]:
        return local_days(moments, utc_offset_hours=self.config.utc_offset_hours)


def _where(is_known: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.where(is_known, values, np.nan).astype(np.float32)
