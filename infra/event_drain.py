"""Events on their way to the lake: a batch is claimed, read as Arrow tables, and deleted when the lake has it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, not_, or_, select, update

from infra.columns import to_microseconds
from infra.event_records import Drained, event_batches, outcomes, requests
from infra.rollout_records import rollouts
from recmodels.data import schema

_ITEM_COLUMNS: Final = ("item_ids", "scores", "propensities")
_REQUEST_COLUMNS: Final = (
    *(name for name in schema.IMPRESSIONS.names if name in requests.c),
    *_ITEM_COLUMNS,
)
_STORED_TYPES: Final = {schema.TIMESTAMP: pa.int64()}


def next_batch(connection: Connection, *, before: datetime, limit: int) -> Drained:
    """Return the batch that was claimed and not forgotten, or claim the next one."""
    unfinished = select(event_batches.c.batch).where(event_batches.c.is_forgotten.is_(False))
    batch = connection.execute(unfinished).scalar()
    if batch is None:
        batch = _claim(connection, before=before, limit=limit)
    return Drained(
        batch,
        _impressions(connection, requests.c.batch == batch),
        _outcomes(connection, outcomes.c.batch == batch),
    )


def waiting_events(connection: Connection, *, origin: str, share: float) -> Drained:
    """Return what no batch holds yet, of one origin and of a share of the users; nothing changes."""
    mine = and_(requests.c.batch.is_(None), requests.c.origin == origin)
    if share < 1:
        mine = and_(mine, requests.c.user_key < f"{int(share * 16**8):08x}")  # keys are hashes: a prefix is a sample
    answered = select(requests.c.request_id).where(mine)
    return Drained(
        0,
        _impressions(connection, mine),
        _outcomes(connection, and_(outcomes.c.batch.is_(None), outcomes.c.request_id.in_(answered))),
    )


def forget_batch(connection: Connection, batch: int) -> None:
    """Delete a batch, and earlier ones that waited for a rollout to end; an active rollout's rows stay."""
    connection.execute(update(event_batches).where(event_batches.c.batch == batch).values(is_forgotten=True))
    active = select(rollouts.c.rollout_id).where(rollouts.c.active == 1)
    is_judged = requests.c.rollout_id.is_not(None) & requests.c.rollout_id.in_(active)
    done = select(event_batches.c.batch).where(event_batches.c.is_forgotten.is_(True))
    kept = select(requests.c.request_id).where(
        or_(requests.c.batch.is_(None), requests.c.batch.not_in(done), is_judged)
    )
    connection.execute(delete(outcomes).where(outcomes.c.batch.in_(done), outcomes.c.request_id.not_in(kept)))
    connection.execute(delete(requests).where(requests.c.batch.in_(done), not_(is_judged)))


def _claim(connection: Connection, *, before: datetime, limit: int) -> int:
    batch: int = connection.execute(select(func.coalesce(func.max(event_batches.c.batch), 0) + 1)).scalar_one()
    ripe = select(requests.c.id).where(requests.c.batch.is_(None), requests.c.timestamp < to_microseconds(before))
    ripe = ripe.order_by(requests.c.timestamp, requests.c.id).limit(limit)
    num_requests = connection.execute(update(requests).where(requests.c.id.in_(ripe)).values(batch=batch)).rowcount
    moved = select(requests.c.request_id).where(requests.c.batch.is_not(None))
    follow = update(outcomes).where(outcomes.c.batch.is_(None), outcomes.c.request_id.in_(moved))
    num_outcomes = connection.execute(follow.values(batch=batch)).rowcount
    if num_requests or num_outcomes:
        row = {"batch": batch, "before": before, "num_requests": num_requests, "num_outcomes": num_outcomes}
        connection.execute(insert(event_batches).values(**row, is_forgotten=False))
    return batch


def _impressions(connection: Connection, chosen: ColumnElement[bool]) -> pa.Table:
    query = select(*[requests.c[name] for name in _REQUEST_COLUMNS]).where(chosen)
    rows = connection.execute(query.order_by(requests.c.timestamp, requests.c.id)).all()
    columns = dict(
        zip(_REQUEST_COLUMNS, zip(*rows, strict=True) if rows else [()] * len(_REQUEST_COLUMNS), strict=True)
    )
    items = _lists(columns.pop("item_ids"), pa.string())
    parents = pc.list_parent_indices(items)
    counts = pc.list_value_length(items).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    exploded = {
        schema.ITEM_ID: pc.list_flatten(items),
        schema.SCORE: pc.list_flatten(_lists(columns.pop("scores"), pa.float64())),
        schema.PROPENSITY: pc.list_flatten(_lists(columns.pop("propensities"), pa.float64())),
        schema.POSITION: pa.array(np.arange(len(parents)) - starts, pa.int32()),
    }
    for name, values in columns.items():
        exploded[name] = pa.array(values, _STORED_TYPES.get(name, schema.IMPRESSIONS.field(name).type)).take(parents)
    return _in_schema(exploded, schema.IMPRESSIONS)


def _outcomes(connection: Connection, chosen: ColumnElement[bool]) -> pa.Table:
    names = schema.OUTCOMES.names
    query = select(*[outcomes.c[name] for name in names]).where(chosen)
    rows = connection.execute(query.order_by(outcomes.c.timestamp, outcomes.c.id)).all()
    columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    arrays = {
        name: pa.array(values, _STORED_TYPES.get(name, schema.OUTCOMES.field(name).type))
        for name, values in columns.items()
    }
    return _in_schema(arrays, schema.OUTCOMES)


def _lists(texts: Sequence[str], kind: pa.DataType) -> pa.Array:
    """Decode the JSON arrays of many rows at once."""
    return pa.array(msgspec.json.decode("[" + ",".join(texts) + "]"), pa.list_(kind))


def _in_schema(arrays: dict[str, pa.Array], target: pa.Schema) -> pa.Table:
    return pa.table([arrays[name].cast(target.field(name).type) for name in target.names], schema=target)
