"""The statements of the outbox: which deliveries may be tried, how they ended, and how a channel does."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    desc,
    func,
    or_,
    select,
    update,
)

from infra.columns import Moment
from infra.outbox_records import ChannelState, Delivery, Fate, Settlement, outbox

_NOW = bindparam("now", type_=Moment())


def ready_ids(connection: Connection, *, now: datetime, channels: Sequence[str] | None, limit: int) -> Sequence[int]:
    """Return the keys of what may be tried now, what is due longest in front."""
    values: dict[str, Any] = {"now": now, "limit": limit}
    if channels is not None and len(channels) == 1:
        return connection.execute(_ready("one"), values | {"channel": channels[0]}).scalars().all()
    if channels is not None:
        return connection.execute(_ready("some"), values | {"channels": list(channels)}).scalars().all()
    return connection.execute(_ready("all"), values).scalars().all()


@cache
def _ready(which: str) -> Select[tuple[int]]:
    """Build the query once: building it takes longer than running it. For one channel an index gives the order."""
    other = outbox.alias("other")
    is_blocked = (
        select(other.c.id)
        .where(
            other.c.channel == outbox.c.channel,
            other.c.incident_id == outbox.c.incident_id,
            other.c.delivered_at.is_(None),
            other.c.is_refused.is_(False),
            other.c.id < outbox.c.id,
        )
        .exists()
    )
    is_free = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= _NOW)
    query = select(outbox.c.id).where(_is_waiting(), outbox.c.next_at <= _NOW, is_free, ~is_blocked)
    if which == "one":
        query = query.where(outbox.c.channel == bindparam("channel"))
    elif which == "some":
        query = query.where(outbox.c.channel.in_(bindparam("channels", expanding=True)))
    return query.order_by(outbox.c.next_at, outbox.c.id).limit(bindparam("limit", type_=Integer()))


def settle(connection: Connection, settlements: Sequence[Settlement], *, now: datetime) -> None:
    """Write how deliveries ended, one statement a fate."""
    by_fate: dict[Fate, list[dict[str, Any]]] = {}
    for one in settlements:
        by_fate.setdefault(one.fate, []).append(_values_of(one, now=now))
    for fate, rows in by_fate.items():
        connection.execute(_update_of(fate), rows)


def release_all(connection: Connection) -> int:
    """End every lease of what waits, and return how many there were."""
    held = update(outbox).where(_is_waiting(), outbox.c.lease.is_not(None))
    return connection.execute(held.values(lease=None, leased_until=None)).rowcount


def channel_state(connection: Connection, channel: str, delivered_at: datetime | None) -> ChannelState:
    """Return how one channel does."""
    waiting = and_(outbox.c.channel == channel, _is_waiting())
    failing = and_(waiting, outbox.c.first_failed_at.is_not(None))
    if delivered_at is not None:
        failing = and_(failing, outbox.c.first_failed_at > delivered_at)
    oldest = select(outbox.c.first_failed_at, outbox.c.last_error).where(failing)
    row = connection.execute(oldest.order_by(outbox.c.first_failed_at).limit(1)).one_or_none()
    gone = select(outbox.c.next_at, outbox.c.last_error).where(
        outbox.c.channel == channel, outbox.c.delivered_at.is_(None), outbox.c.is_refused.is_(True)
    )
    refused = connection.execute(gone.order_by(desc(outbox.c.next_at)).limit(1)).one_or_none()
    pending: int = connection.execute(select(func.count()).where(waiting)).scalar_one()
    return ChannelState(
        channel=channel,
        pending=pending,
        failing_since=row.first_failed_at if row else None,
        last_error=row.last_error if row else "",
        delivered_at=delivered_at,
        refused_at=refused.next_at if refused else None,
        refusal=refused.last_error if refused else "",
    )


def to_delivery(row: Row[Any]) -> Delivery:
    """Return a row of the outbox as a record."""
    return Delivery(
        delivery_id=row.id,
        channel=row.channel,
        key=row.key,
        incident_id=row.incident_id,
        document=row.document,
        created_at=row.created_at,
        attempts=row.attempts,
        next_at=row.next_at,
        first_failed_at=row.first_failed_at,
        last_error=row.last_error or "",
        delivered_at=row.delivered_at,
        is_refused=row.is_refused,
        lease=row.lease or "",
    )


def _values_of(settlement: Settlement, *, now: datetime) -> dict[str, Any]:
    """Return the parameters that the statement of the settlement's fate takes."""
    row: dict[str, Any] = {"the_id": settlement.delivery.delivery_id}
    if settlement.fate is not Fate.UNTRIED:
        row["now"] = now
    if settlement.fate is not Fate.DELIVERED:
        row["the_lease"] = settlement.delivery.lease
    if settlement.fate in {Fate.FAILED, Fate.REFUSED}:
        row["error"] = settlement.error
    if settlement.fate is Fate.FAILED:
        assert settlement.retry_at is not None, "a failed delivery is tried again at some time"
        row["retry_at"] = settlement.retry_at
    return row


@cache
def _update_of(fate: Fate) -> Update:
    """Build the statement for a fate; when one was refused stands where its next attempt would have stood."""
    is_open = and_(outbox.c.id == bindparam("the_id"), outbox.c.delivered_at.is_(None))
    is_held = and_(is_open, outbox.c.lease == bindparam("the_lease"))
    free: dict[str, Any] = {"lease": None, "leased_until": None}
    error: dict[str, Any] = {"last_error": bindparam("error")}
    match fate:
        case Fate.DELIVERED:
            return update(outbox).where(is_open).values(delivered_at=_NOW, **free)
        case Fate.REFUSED:
            return update(outbox).where(is_held).values(is_refused=True, next_at=_NOW, **error, **free)
        case Fate.UNTRIED:
            return update(outbox).where(is_held).values(**free)
        case Fate.FAILED:
            failed = func.coalesce(outbox.c.first_failed_at, _NOW)
            attempts = {"attempts": outbox.c.attempts + 1, "first_failed_at": failed}
            return (
                update(outbox)
                .where(is_held)
                .values(next_at=bindparam("retry_at", type_=Moment()), **attempts, **error, **free)
            )


def _is_waiting() -> ColumnElement[bool]:
    return and_(outbox.c.delivered_at.is_(None), outbox.c.is_refused.is_(False))
