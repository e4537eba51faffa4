"""Division of interactions into training, validation and test parts without a look ahead.

Time split: two moments cut everybody; equal timestamps stand on one side of a cut and are targets together. The
catalogue is fixed by the training part. A target outside it stays, as `UNKNOWN`: a miss that is counted. An event
outside it is dropped from histories, since no model could have learned its item. Leave-one-out exists to compare with
papers: the last event of each user with three or more is the test target, the one before it the validation target;
there "earlier" means earlier in the user's order, in which ties in time follow a fixed hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.caps import latest, leave_out
from recmodels.data.cuts import (
    TEST,
    TRAIN,
    VALIDATION,
    Bounds,
    as_moment,
    bounds_of_parts,
    check_parts,
    moments_of,
    parts_by_position,
    parts_by_time,
)
from recmodels.data.events import EncodedEvents, Events, sorted_events, starts_of_ties
from recmodels.data.histories import Histories
from recmodels.data.interactions import MEASURES, positives
from recmodels.data.schema import ITEM_ID, ITEMS
from recmodels.data.vocabulary import UNKNOWN, Vocabulary
from recmodels.errors import DataError, SplitError

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import DataConfig, SplitConfig


@dataclass(frozen=True, eq=False)
class Queries:
    """What a model is asked in one window: one row per (user, timestamp) group, sorted by user and time.

    Attributes:
        histories: ``(Q,)`` rows of strictly earlier events of the user, those of the same window included; only items
            of the vocabulary. Empty for a user without any.
        targets: ``(Q,)`` rows of all positive items at that timestamp; `UNKNOWN` marks items outside the catalogue.
        user_ids: ``(Q,)`` raw ids; metrics are averaged over a user's queries, then over users.
        surfaces: ``(Q,)`` surface of the group's first event.
        is_new_user: ``(Q,)`` the user has no positive event in the training part.
        is_order_only: The timestamps are positions rather than times.
    """

    histories: Histories
    targets: Histories
    user_ids: NDArray[np.str_]
    surfaces: NDArray[np.str_]
    is_new_user: NDArray[np.bool_]
    is_order_only: bool = False

    def __len__(self) -> int:
        return len(self.user_ids)

    def take(self, rows: NDArray[np.int64]) -> Queries:
        """Return the named queries, in the order given."""
        return replace(
            self,
            histories=self.histories.take(rows),
            targets=self.targets.take(rows),
            user_ids=self.user_ids[rows],
            surfaces=self.surfaces[rows],
            is_new_user=self.is_new_user[rows],
        )

    @property
    def unknown_targets(self) -> int:
        """Number of target events whose item is outside the catalogue."""
        return int((self.targets.flat().items == UNKNOWN).sum())


@dataclass(frozen=True, eq=False)
class TrainPart:
    """What a model may learn from.

    Attributes:
        vocabulary: The catalogue.
        items: Rows in the schema `ITEMS`, aligned with `vocabulary.ids`.
        item_counts: ``(V,)`` training interactions of each index; 0 for padding and unknown.
        train: One row a training user, over arrays that hold nothing later than `train_until`.
        train_user_ids: Raw id of each row.
        train_until: First moment after the part.
        is_order_only: The timestamps are positions rather than times.
        surface_names: Every surface of the data, in order; none where it is not known.
        train_surfaces: ``(E,)`` place in `surface_names` of each event of `train`; None where it is not known.
        is_target: ``(E,)`` which events of `train` are to be predicted; None for all.
    """

    vocabulary: Vocabulary
    items: pa.Table
    item_counts: NDArray[np.int64]
    train: Histories
    train_user_ids: NDArray[np.str_]
    train_until: datetime
    is_order_only: bool
    surface_names: tuple[str, ...] = field(default=(), kw_only=True)
    train_surfaces: NDArray[np.int32] | None = field(default=None, kw_only=True)
    is_target: NDArray[np.bool_] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, eq=False)
class Split(TrainPart):
    """A training part and the questions of the two windows after it.

    Attributes:
        validation: Queries from `train_until` on, before `validation_until`.
        test: Queries from `validation_until` on, before `test_until`.
        validation_until: First moment after the validation window.
        test_until: First moment after the last event.
    """

    validation: Queries
    test: Queries
    validation_until: datetime
    test_until: datetime


@dataclass(frozen=True, eq=False)
class DividedEvents:
    """Positive events with the part of each.

    Attributes:
        events: E events, sorted by user and time.
        parts: ``(E,)`` `TRAIN`, `VALIDATION` or `TEST`.
        bounds: First moments after the parts.
        is_group_start: ``(E,)`` the event begins a query: the first of its user at its time, or any for leave-one-out.
    """

    events: Events
    parts: NDArray[np.int8]
    bounds: Bounds
    is_group_start: NDArray[np.bool_]


def split_interactions(
    interactions: pa.Table, items: pa.Table, *, data: DataConfig, split: SplitConfig, is_order_only: bool = False
) -> Split:
    """Divide interactions as a recipe asks.

    Shares are taken over all interactions, not only positive ones, so that recipes with different labels share their
    cuts. Ties in time within a user are ordered by a fixed hash of the event id.

    Args:
        interactions: Rows in the schema `INTERACTIONS`, in any order.
        items: Rows in the schema `ITEMS`; every item of the interactions stands in it.
        data: The label and the smallest number of interactions an item needs.
        split: How to cut.
        is_order_only: The timestamps are positions; only ``leave_one_out`` has a meaning then.

    Raises:
        SplitError: A part is left empty, or an order-only data set is to be cut by time.
        DataError: The label has no value in this data, or an item is missing from `items`.
    """
    divided = divide(interactions, data=data, split=split, is_order_only=is_order_only)
    return _assemble(divided, items, data=data, is_order_only=is_order_only)


def refit_before_test(
    interactions: pa.Table, items: pa.Table, *, data: DataConfig, split: SplitConfig, is_order_only: bool = False
) -> Split:
    """Divide as `split_interactions` does, with the validation part given to training.

    Papers differ in whether the last training knows the validation part; it is worth more than most architectures, so
    that both are told. The test queries are the same, the catalogue may hold more items.

    Returns:
        A split whose validation part is empty.

    Raises:
        SplitError: As `split_interactions`.
        DataError: As `split_interactions`.
    """
    divided = divide(interactions, data=data, split=split, is_order_only=is_order_only)
    parts = np.where(divided.parts == VALIDATION, TRAIN, divided.parts).astype(np.int8)
    bounds = replace(divided.bounds, train=divided.bounds.validation)
    return _assemble(replace(divided, parts=parts, bounds=bounds), items, data=data, is_order_only=is_order_only)


def divide(
    interactions: pa.Table, *, data: DataConfig, split: SplitConfig, is_order_only: bool = False
) -> DividedEvents:
    """Say which positive event belongs to which part, as a recipe asks.

    Raises:
        SplitError: A part is left empty, or an order-only data set is to be cut by time.
        DataError: The label has no value in this data.
    """
    if is_order_only and split.kind == "time":
        raise SplitError(
            "split kind 'time' needs timestamps, but this data set knows only the order of each user's events. "
            "Set split.kind=leave_one_out."
        )
    events = _positive_events(interactions, data)
    if split.kind == "time":
        bounds = moments_of(interactions, split)
        parts = parts_by_time(events, bounds)
        is_group_start = starts_of_ties(events)
    else:
        parts = parts_by_position(events)
        bounds = bounds_of_parts(events, parts)
        is_group_start = np.ones(len(events), dtype=np.bool_)
    check_parts(parts, bounds, events, split)
    return DividedEvents(events, parts, bounds, is_group_start)


def refit_histories(
    interactions: pa.Table, items: pa.Table, *, data: DataConfig, is_order_only: bool = False
) -> TrainPart:
    """Return a training part that reaches to the last interaction, under the same vocabulary rule.

    Raises:
        SplitError: The label or the smallest number of interactions leaves nothing.
        DataError: The label has no value in this data, or an item is missing from `items`.
    """
    events = _positive_events(interactions, data)
    vocabulary = _catalogue(events.items, data)
    until = int(events.timestamps.max()) + 1
    encoded = EncodedEvents.of(events, vocabulary)
    return _train_part(encoded, items, np.diff(events.user_starts), until, data=data, is_order_only=is_order_only)


def _positive_events(interactions: pa.Table, data: DataConfig) -> Events:
    table = positives(interactions, data)
    if table.num_rows:
        return sorted_events(table)
    hint = f"Lower data.label_minimum (now {data.label_minimum})" if data.label in MEASURES else "Read more data"
    raise SplitError(
        f"label {data.label!r} leaves 0 of {interactions.num_rows} interactions. {hint}, or choose another data.label."
    )


def _catalogue(train_items: pa.Array, data: DataConfig) -> Vocabulary:
    counts = pc.value_counts(train_items)
    enough = pc.greater_equal(counts.field("counts"), data.minimum_item_interactions)
    vocabulary = Vocabulary.build(counts.field("values").filter(enough))
    if not len(vocabulary):
        raise SplitError(
            f"no item has {data.minimum_item_interactions} positive training interactions; the most popular of "
            f"{len(counts)} has {pc.max(counts.field('counts')).as_py() or 0}. Lower data.minimum_item_interactions."
        )
    return vocabulary


def _assemble(divided: DividedEvents, items: pa.Table, *, data: DataConfig, is_order_only: bool) -> Split:
    events, parts, bounds = divided.events, divided.parts, divided.bounds
    vocabulary = _catalogue(events.items.filter(pa.array(parts == TRAIN)), data)
    encoded = EncodedEvents.of(events, vocabulary)
    train_counts = np.add.reduceat(parts == TRAIN, events.user_starts[:-1], dtype=np.int64)
    train = _train_part(encoded, items, train_counts, bounds.train, data=data, is_order_only=is_order_only)
    is_new = train_counts == 0
    validation, test = (
        _queries(encoded, parts == part, divided.is_group_start, is_new, is_order_only=is_order_only)
        for part in (VALIDATION, TEST)
    )
    return Split(
        **vars(train),
        validation=validation,
        test=test,
        validation_until=as_moment(bounds.validation),
        test_until=as_moment(bounds.test),
    )


def _train_part(
    encoded: EncodedEvents,
    items: pa.Table,
    counts: NDArray[np.int64],
    until: int,
    *,
    data: DataConfig,
    is_order_only: bool,
) -> TrainPart:
    """Build the training part from the first `counts` events of each user, ``(U,)``, without repeats beyond the cap."""
    first = encoded.events.user_starts[:-1]
    starts, ends = encoded.known_before[first], encoded.known_before[first + counts]
    has_events = ends > starts
    rows = Histories(encoded.known_items, encoded.known_timestamps, starts[has_events], ends[has_events])
    kept = latest(*rows.flat(), maximum=data.maximum_repeats)
    train = leave_out(rows.compact(), kept)
    vocabulary = encoded.vocabulary
    return TrainPart(
        vocabulary=vocabulary,
        items=_catalogue_items(items, vocabulary),
        item_counts=np.bincount(train.items, minlength=vocabulary.size),
        train=train,
        train_user_ids=encoded.events.user_ids[has_events],
        train_until=as_moment(until),
        is_order_only=is_order_only,
        surface_names=encoded.surface_names,
        train_surfaces=encoded.known_surfaces[rows.positions()[kept]],
    )


def _queries(
    encoded: EncodedEvents,
    is_in_window: NDArray[np.bool_],
    is_group_start: NDArray[np.bool_],
    is_new: NDArray[np.bool_],
    *,
    is_order_only: bool,
) -> Queries:
    events = encoded.events
    group_starts = np.flatnonzero(is_group_start)
    group_ends = np.append(group_starts[1:], len(events))
    chosen = is_in_window[group_starts]
    starts, ends = group_starts[chosen], group_ends[chosen]
    users = np.searchsorted(events.user_starts, starts, side="right") - 1
    first = encoded.known_before[events.user_starts[users]]
    return Queries(
        histories=Histories(encoded.known_items, encoded.known_timestamps, first, encoded.known_before[starts]),
        targets=Histories(encoded.items, events.timestamps, starts, ends),
        user_ids=events.user_ids[users],
        surfaces=np.array(events.surfaces.take(pa.array(starts)).to_pylist(), dtype=np.str_),
        is_new_user=is_new[users],
        is_order_only=is_order_only,
    )


def _catalogue_items(items: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    wanted = pa.array(vocabulary.ids, type=pa.string())
    rows = pc.index_in(wanted, value_set=items[ITEM_ID].combine_chunks())
    if rows.null_count:
        absent = wanted.filter(pc.is_null(rows))
        raise DataError(
            f"{rows.null_count} of {len(vocabulary)} items of the catalogue are missing from the items table, "
            f"first {absent[0].as_py()!r}. Add a row for every item of the interactions."
        )
    return items.take(rows).select(ITEMS.names).combine_chunks()
