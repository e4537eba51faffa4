"""Which features look at what had not happened yet: the outcomes are changed, and the past must not notice."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.cuts import as_microseconds
from recmodels.data.interactions import as_utc
from recmodels.data.schema import FEEDBACK_COLUMNS, RATING, TIMESTAMP, WATCH_SECONDS, Tables
from recmodels.errors import DataError
from recmodels.ranking.examples import Examples


def leaking_columns(
    extract: Callable[[Tables], Examples], tables: Tables, *, moment: datetime, until: datetime
) -> tuple[str, ...]:
    """Return the names of the features that depend on what happened after, or came of, the exposure they belong to.

    Two data sets are made that agree with the given one on everything before `moment`. In one, all outcomes from then
    on are turned around: no exposure before it, and no user's first exposure between it and `until`, may have other
    features, since nothing that was known to them has changed. In the other there are no exposures from `moment` on:
    those before it must have the very same features.

    Args:
        extract: Builds the examples of a data set, in the order of time; what it learned must stay as it is.
        tables: A data set with exposures on both sides of `moment`.
        moment: A moment within the data, best at midday: what looks at the whole day is caught then.
        until: The end of that day, when its outcomes are counted.

    Raises:
        DataError: No exposure is before the moment, or none after it.
    """
    table = tables.interactions
    is_before = pc.less(table[TIMESTAMP], pa.scalar(as_utc(moment), table[TIMESTAMP].type))
    if pc.min(is_before).as_py() or not pc.max(is_before).as_py():
        raise DataError(f"all of {table.num_rows} exposures are on one side of {moment}; choose a moment within them.")
    given = extract(tables)
    turned = extract(replace(tables, interactions=_turned(table, is_before)))
    earlier = extract(replace(tables, interactions=table.filter(is_before)))
    rows = _undisturbed(given, as_microseconds(moment), as_microseconds(until))
    past = np.flatnonzero(given.timestamps < as_microseconds(moment))
    found = _changed(given.take(rows), turned.take(rows)) | _changed(given.take(past), earlier)
    return tuple(name for name in _names(given) if name in found)


def _turned(table: pa.Table, is_before: pa.ChunkedArray) -> pa.Table:
    """Return the interactions with every outcome from the moment on turned into another."""
    for name in FEEDBACK_COLUMNS:
        place = table.column_names.index(name)
        table = table.set_column(place, table.field(place), pc.if_else(is_before, table[name], pc.invert(table[name])))
    for name in (WATCH_SECONDS, RATING):
        place = table.column_names.index(name)
        other = pc.add(pc.multiply(table[name], 2.0), 7.0)
        table = table.set_column(place, table.field(place), pc.if_else(is_before, table[name], other))
    return table


def _undisturbed(examples: Examples, moment: int, until: int) -> NDArray[np.int64]:
    """Return exposures before the moment, and of each user those at their first time from it on, before `until`."""
    is_after = examples.timestamps >= moment
    first = np.full(int(examples.users.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, examples.users[is_after], examples.timestamps[is_after])
    is_first = (examples.timestamps == first[examples.users]) & (examples.timestamps < until)
    return np.flatnonzero(~is_after | is_first)


def _names(examples: Examples) -> tuple[str, ...]:
    return ("items", "histories", "surfaces", "queries", *examples.spec.categorical, *examples.spec.numeric)


def _changed(one: Examples, other: Examples) -> set[str]:
    spec = one.spec
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in ("items", "surfaces")]
    pairs += [(n, one.categorical[:, c], other.categorical[:, c]) for c, n in enumerate(spec.categorical)]
    pairs += [(n, one.numeric[:, c], other.numeric[:, c]) for c, n in enumerate(spec.numeric)]
    if one.queries is not None:
        pairs.append(("queries", one.queries, other.queries))
    found = {name for name, a, b in pairs if not np.array_equal(a, b)}
    lengths_differ = not np.array_equal(one.histories.lengths, other.histories.lengths)
    if lengths_differ or not np.array_equal(one.histories.flat().items, other.histories.flat().items):
        found.add("histories")
    return found
