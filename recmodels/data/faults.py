"""Faults to put into a table of events on purpose, for demonstrations, benchmarks and tests of the monitoring.

Every function takes rows in the schema `INTERACTIONS`, returns a new table in the same schema and touches nothing else;
which rows are hit depends on the seed only. A table with a fault in it is judged, never ingested.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data import schema
from recmodels.errors import DataError

_MICROSECONDS_A_DAY = 86_400_000_000


def scale_column(table: pa.Table, column: str, *, factor: float) -> pa.Table:
    """Multiply a numeric column, as a changed unit does: 1000 for seconds that became milliseconds, 2 for 1-5 stars.

    Raises:
        DataError: The column is missing or not numeric.
    """
    _require(table, column)
    kind = table.schema.field(column).type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise DataError(f"column {column!r} is {kind}; scaling needs a number. Numeric columns: {_numeric(table)}.")
    return _set(table, column, pc.cast(pc.multiply(table[column], factor), kind))


def raise_nulls(table: pa.Table, column: str, *, share: float, seed: int) -> pa.Table:
    """Empty a nullable column in `share` of the rows.

    Raises:
        DataError: The column is missing or required by the contract.
    """
    _require(table, column)
    if not table.schema.field(column).nullable:
        raise DataError(f"column {column!r} is required by the contract and cannot be null. Choose a nullable column.")
    hit = pa.array(_hit(table.num_rows, share, seed))
    return _set(table, column, pc.if_else(hit, pa.scalar(None, table.schema.field(column).type), table[column]))


def push_item(table: pa.Table, item_id: str, *, share: float, seed: int) -> pa.Table:
    """Move `share` of the events to one item, as a broken ranking or a bought campaign does."""
    hit = pa.array(_hit(table.num_rows, share, seed))
    return _set(table, schema.ITEM_ID, pc.if_else(hit, pa.scalar(item_id), table[schema.ITEM_ID]))


def push_creator(table: pa.Table, items: pa.Table, creator_id: str, *, share: float, seed: int) -> pa.Table:
    """Move `share` of the events to one creator's items, evenly.

    Args:
        table: The events.
        items: Rows in the schema `ITEMS`.
        creator_id: Whose items.
        share: Part of the events that move, 0 to 1.
        seed: Which events move, and where to.

    Raises:
        DataError: The creator has no item.
    """
    own = items.filter(pc.equal(items[schema.CREATOR_ID], creator_id))[schema.ITEM_ID].to_pylist()
    if not own:
        raise DataError(f"creator {creator_id!r} has no item in the table of items. Choose a creator that has.")
    rng = np.random.default_rng(seed)
    chosen = pa.array(np.asarray(own, dtype=object)[rng.integers(len(own), size=table.num_rows)], pa.string())
    hit = pa.array(_hit(table.num_rows, share, seed))
    return _set(table, schema.ITEM_ID, pc.if_else(hit, chosen, table[schema.ITEM_ID]))


def drop_surface(table: pa.Table, surface: str) -> pa.Table:
    """Leave out every event of one surface, as a producer that stopped does.

    Raises:
        DataError: No event has this surface.
    """
    gone = pc.equal(table[schema.SURFACE], surface)
    if not pc.any(gone).as_py():
        known = ", ".join(sorted(pc.unique(table[schema.SURFACE]).to_pylist()))
        raise DataError(f"surface {surface!r} has no event. Known surfaces: {known}.")
    return table.filter(pc.invert(gone))


def drop_rows(table: pa.Table, *, share: float, seed: int) -> pa.Table:
    """Lose `share` of the events, as a full queue does."""
    return table.filter(pa.array(~_hit(table.num_rows, share, seed)))


def delay_labels(table: pa.Table, *, seconds: float) -> pa.Table:
    """Take back the feedback of events in the last `seconds` of each UTC day, as labels that arrive late look that day.

    What people did is then false rather than null: nothing tells that it is still to come.
    """
    micros = pc.cast(table[schema.TIMESTAMP], pa.int64()).to_numpy()
    is_late = pa.array(micros % _MICROSECONDS_A_DAY >= _MICROSECONDS_A_DAY - int(seconds * 1e6))
    for column in schema.FEEDBACK_COLUMNS:
        known = pc.and_(is_late, pc.is_valid(table[column]))
        table = _set(table, column, pc.if_else(known, pa.scalar(value=False), table[column]))
    return table


def add_bots(table: pa.Table, *, users_share: float, events_each: int, items: int, seed: int) -> pa.Table:
    """Add a bot farm: new users who all do the same few items many times.

    Args:
        table: The events.
        users_share: Bots as a part of the table's distinct users; at least one bot.
        events_each: Events of each bot.
        items: How many of the table's items they share.
        seed: Which items, and when.
    """
    rng = np.random.default_rng(seed)
    bots = max(1, round(users_share * pc.count_distinct(table[schema.USER_ID]).as_py()))
    size = bots * events_each
    shape = table.take(pa.array(rng.integers(table.num_rows, size=size)))
    known = np.asarray(pc.unique(table[schema.ITEM_ID]).to_pylist(), dtype=object)
    chosen = rng.choice(known, size=min(items, len(known)), replace=False)
    shape = _set(shape, schema.ITEM_ID, pa.array(chosen[rng.integers(len(chosen), size=size)], pa.string()))
    shape = _set(shape, schema.USER_ID, pa.array([f"bot-{b}" for b in np.repeat(np.arange(bots), events_each)]))
    shape = _set(shape, schema.EVENT_ID, pa.array([f"bot-{seed}-{e}" for e in range(size)]))
    return pa.concat_tables([table, shape])


def _hit(rows: int, share: float, seed: int) -> NDArray[np.bool_]:
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share!r}; a part of the rows lies between 0 and 1.")
    return np.random.default_rng(seed).random(rows) < share


def _require(table: pa.Table, column: str) -> None:
    if column not in table.column_names:
        raise DataError(f"the table has no column {column!r}; it has {', '.join(table.column_names)}.")


def _numeric(table: pa.Table) -> str:
    return ", ".join(f.name for f in table.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type))


def _set(table: pa.Table, column: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(place, table.schema.field(column), values)
