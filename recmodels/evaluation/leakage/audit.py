"""The audit as a whole: events, ids and columns of one data set, divided as a recipe divides them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import ITEM_ID, TIMESTAMP, USER_ID
from recmodels.data.splits import DividedEvents, divide
from recmodels.evaluation.leakage.columns import Counts, Described, column_findings
from recmodels.evaluation.leakage.events import Judged, event_findings
from recmodels.evaluation.leakage.findings import Finding, LeakageConfig, LeakageReport, Severity
from recmodels.evaluation.leakage.identifiers import id_finding

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import Recipe

_ORDER = (Severity.LEAK, Severity.NOTE, Severity.OK)
_NEVER = np.iinfo(np.int64).max


def audit(
    interactions: pa.Table,
    items: pa.Table,
    users: pa.Table,
    *,
    recipe: "Recipe",
    is_order_only: bool = False,
    config: LeakageConfig = LeakageConfig(),  # noqa: B008 - frozen
) -> LeakageReport:
    """Look for ways in which the test part of a recipe's split is known before it.

    Args:
        interactions: Rows in the schema `INTERACTIONS`.
        items: Rows in the schema `ITEMS`.
        users: Rows in the schema `USERS`, plus attribute columns.
        recipe: Its label, its split and whether it removes seen items.
        is_order_only: The timestamps are positions.
        config: From which size on something is a note or a leak.

    Returns:
        One finding a question: leaks first, then notes, then what is in order, each by falling size.

    Raises:
        SplitError: A part of the split is empty, or an order-only data set is to be cut by time.
        DataError: The label has no value in this data.
    """
    divided = divide(interactions, data=recipe.data, split=recipe.split, is_order_only=is_order_only)
    is_time_split = recipe.split.kind == "time"
    events = Judged.of(divided, is_time_split=is_time_split, is_order_only=is_order_only)
    findings = [
        *event_findings(events, remove_seen=recipe.evaluation.remove_seen, config=config),
        *_entities(interactions, items, ITEM_ID, "items", divided, events, config),
        *_entities(interactions, users, USER_ID, "users", divided, events, config),
    ]
    return LeakageReport(findings=tuple(sorted(findings, key=lambda one: (_ORDER.index(one.severity), -one.size))))


def _entities(
    interactions: pa.Table,
    table: pa.Table,
    key: str,
    kind: str,
    divided: DividedEvents,
    events: Judged,
    config: LeakageConfig,
) -> Iterator[Finding]:
    """Look at the ids and the columns of items or users."""
    ids = table[key].combine_chunks()
    positive = _positive_ids(divided, key)
    rows = _rows(positive, ids)
    first = _first(rows, divided.events.timestamps, len(ids))
    if not events.is_order_only:
        seen = first != _NEVER
        yield id_finding(kind[:-1], ids.filter(pa.array(seen)), first[seen], config=config)
    counts = [_counted("positive events", rows, events.is_test, len(ids))]
    if events.is_time_split:
        shown = _rows(interactions[key].combine_chunks(), ids)
        times = interactions[TIMESTAMP].cast(pa.int64()).to_numpy()
        counts.append(_counted("interactions", shown, times >= divided.bounds.validation, len(ids)))
        first = np.minimum(first, _first(shown, times, len(ids)))
    described = Described(
        kind=kind,
        table=table,
        key=key,
        counts=counts,
        first_seen=first,
        cut=divided.bounds.validation if events.is_time_split else None,
        has_window=events.is_time_split or key == ITEM_ID,
    )
    yield from column_findings(described, has_times=not events.is_order_only, config=config)


def _positive_ids(divided: DividedEvents, key: str) -> pa.Array:
    events = divided.events
    if key == ITEM_ID:
        return events.items
    return pa.array(np.repeat(events.user_ids, np.diff(events.user_starts)), pa.string())


def _rows(ids: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Return the row of each id in `known`, -1 for none."""
    return np.asarray(pc.fill_null(pc.index_in(ids, value_set=known).cast(pa.int64()), -1).to_numpy())


def _first(rows: NDArray[np.int64], times: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    first = np.full(size, _NEVER)
    known = rows >= 0
    np.minimum.at(first, rows[known], times[known])
    return first


def _counted(what: str, rows: NDArray[np.int64], is_test: NDArray[np.bool_], size: int) -> Counts:
    known = rows >= 0
    before = np.bincount(rows[known & ~is_test], minlength=size)
    return Counts(what, before, np.bincount(rows[known & is_test], minlength=size))
