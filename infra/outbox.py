"""Incidents, and the alerts that tell of them: written together, sent until each channel has taken each alert."""

import secrets
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, desc, func, insert, literal, or_, select, update

from infra.database import Database, Moment
from infra.outbox_records import (
    AlertRecord,
    ChannelState,
    Delivery,
    IncidentRecord,
    SilenceRecord,
    incidents,
    outbox,
    silences,
)
from recmodels.errors import StoreError

__all__ = ["AlertRecord", "ChannelState", "Delivery", "IncidentRecord", "Outbox", "SilenceRecord"]

_RESOLVED: Final = "resolved"


class Outbox:
    """Incidents, silences and alerts on their way, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def incidents(self, *, resolved_after: datetime | None = None) -> list[IncidentRecord]:
        """Return the incidents that are not resolved, and those that changed after `resolved_after`, oldest first."""
        wanted = incidents.c.state != _RESOLVED
        if resolved_after is not None:
            wanted = or_(wanted, incidents.c.changed_at > resolved_after)
        query = select(incidents).where(wanted).order_by(incidents.c.opened_at, incidents.c.incident_id)
        with self._database.read() as connection:
            return [IncidentRecord(**row._asdict()) for row in connection.execute(query)]

    def incident(self, incident_id: str) -> IncidentRecord:
        """Return one incident.

        Raises:
            StoreError: There is none with this id.
        """
        with self._database.read() as connection:
            row = connection.execute(select(incidents).where(incidents.c.incident_id == incident_id)).one_or_none()
        if row is None:
            raise StoreError(f"there is no incident {incident_id!r}. `everfeed alerts list` shows those there are.")
        return IncidentRecord(**row._asdict())

    def record(
        self,
        changed: Sequence[IncidentRecord],
        alerts: Sequence[AlertRecord],
        *,
        channels: Sequence[str],
        now: datetime,
    ) -> None:
        """Write incidents and the alerts that tell of them in one transaction: both are kept, or neither.

        Args:
            changed: Incidents, each with the revision that it was read with; 0 for a new one.
            alerts: What to tell, in order.
            channels: Names of the channels that each alert goes through.
            now: The moment of the change.

        Raises:
            StoreError: Somebody else changed an incident since it was read. Read again, and decide anew.
        """
        with self._database.begin(lock="incidents") as connection:
            for incident in changed:
                _write(connection, incident)
            rows = [_outbox_row(alert, channel, now=now) for alert in alerts for channel in channels]
            self._database.insert_new(connection, outbox, rows)

    def silence(self, silence: SilenceRecord) -> None:
        """Keep a silence."""
        with self._database.begin() as connection:
            row = {field.name: getattr(silence, field.name) for field in fields(silence)}
            connection.execute(insert(silences).values(**row))

    def silences(self, *, now: datetime) -> list[SilenceRecord]:
        """Return the silences that hold at `now`, the one that ends first in front."""
        columns = [silences.c[field.name] for field in fields(SilenceRecord)]
        query = select(*columns).where(silences.c.until > now).order_by(silences.c.until)
        with self._database.read() as connection:
            return [SilenceRecord(**row._asdict()) for row in connection.execute(query)]

    def due(
        self, *, now: datetime, limit: int = 100, lease_seconds: float = 60.0, channels: Sequence[str] | None = None
    ) -> list[Delivery]:
        """Return deliveries that may be tried now, and keep other senders from them until the lease ends.

        Of one incident on one channel only the oldest is returned, so that a channel hears of it in order. A sender
        that dies leaves its deliveries to the next one when the lease ends.

        Args:
            now: The present.
            limit: Most deliveries.
            lease_seconds: Longer than any attempt takes.
            channels: Only deliveries through these; None for all. What waits for a channel that is no longer open would
                otherwise fill the limit.
        """
        lease = secrets.token_hex(8)
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
        is_free = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now)
        ready = select(outbox.c.id).where(_is_waiting(), outbox.c.next_at <= now, is_free, ~is_blocked)
        ready = ready.order_by(outbox.c.next_at, outbox.c.id).limit(limit)
        if channels is not None:
            ready = ready.where(outbox.c.channel.in_(channels))
        with self._database.begin(lock="outbox") as connection:
            chosen = connection.execute(ready).scalars().all()
            if not chosen:
                return []
            until = now + timedelta(seconds=lease_seconds)
            taking = update(outbox).where(outbox.c.id.in_(chosen)).values(lease=lease, leased_until=until)
            connection.execute(taking)
            rows = connection.execute(select(outbox).where(outbox.c.lease == lease).order_by(outbox.c.id))
            return [_to_delivery(row) for row in rows]

    def delivered(self, delivery: Delivery, *, now: datetime) -> None:
        """Note that the channel took the alert; it is true whoever holds the lease by now."""
        done = update(outbox).where(outbox.c.id == delivery.delivery_id, outbox.c.delivered_at.is_(None))
        with self._database.begin() as connection:
            connection.execute(done.values(delivered_at=now, lease=None, leased_until=None))

    def failed(self, delivery: Delivery, *, error: str, retry_at: datetime, now: datetime) -> None:
        """Note a failure, and when to try again; nothing changes where another sender holds the lease by now."""
        values = {
            "attempts": outbox.c.attempts + 1,
            "last_error": error,
            "next_at": retry_at,
            "first_failed_at": func.coalesce(outbox.c.first_failed_at, literal(now, Moment())),
            "lease": None,
            "leased_until": None,
        }
        with self._database.begin() as connection:
            connection.execute(update(outbox).where(_is_held(delivery)).values(values))

    def refused(self, delivery: Delivery, *, error: str) -> None:
        """Note that the channel will never take the alert; later ones of its incident are no longer held up by it."""
        values = {"is_refused": True, "last_error": error, "lease": None, "leased_until": None}
        with self._database.begin() as connection:
            connection.execute(update(outbox).where(_is_held(delivery)).values(**values))

    def deliveries(self, *, key: str | None = None, limit: int = 1000) -> list[Delivery]:
        """Return deliveries, those of one alert or all, the newest first."""
        query = select(outbox).order_by(desc(outbox.c.id)).limit(limit)
        if key is not None:
            query = query.where(outbox.c.key == key)
        with self._database.read() as connection:
            return [_to_delivery(row) for row in connection.execute(query)]

    def channels(self) -> list[ChannelState]:
        """Return how each channel does that ever had an alert, by name."""
        succeeded = select(outbox.c.channel, func.max(outbox.c.delivered_at).label("at")).group_by(outbox.c.channel)
        with self._database.read() as connection:
            return [_channel_state(connection, row.channel, row.at) for row in connection.execute(succeeded).all()]


def _is_waiting() -> ColumnElement[bool]:
    return and_(outbox.c.delivered_at.is_(None), outbox.c.is_refused.is_(False))


def _is_held(delivery: Delivery) -> ColumnElement[bool]:
    return and_(outbox.c.id == delivery.delivery_id, outbox.c.lease == delivery.lease, outbox.c.delivered_at.is_(None))


def _write(connection: Connection, incident: IncidentRecord) -> None:
    values = {field.name: getattr(incident, field.name) for field in fields(incident)}
    values |= {"document": dict(incident.document), "revision": incident.revision + 1}
    known = connection.execute(
        select(incidents.c.revision).where(incidents.c.incident_id == incident.incident_id)
    ).scalar()
    if (known or 0) != incident.revision:
        raise StoreError(
            f"incident {incident.incident_id!r} is at revision {known}, not {incident.revision}: somebody changed it"
            " meanwhile. Read it again and decide anew."
        )
    if known is None:
        connection.execute(insert(incidents).values(**values))
    else:
        connection.execute(update(incidents).where(incidents.c.incident_id == incident.incident_id).values(**values))


def _outbox_row(alert: AlertRecord, channel: str, *, now: datetime) -> dict[str, Any]:
    return {
        "channel": channel,
        "key": alert.key,
        "incident_id": alert.incident_id,
        "document": dict(alert.document),
        "created_at": now,
        "attempts": 0,
        "next_at": now,
        "is_refused": False,
    }


def _to_delivery(row: Row[Any]) -> Delivery:
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


def _channel_state(connection: Connection, channel: str, delivered_at: datetime | None) -> ChannelState:
    waiting = and_(outbox.c.channel == channel, _is_waiting())
    failing = and_(waiting, outbox.c.first_failed_at.is_not(None))
    if delivered_at is not None:
        failing = and_(failing, outbox.c.first_failed_at > delivered_at)
    oldest = select(outbox.c.first_failed_at, outbox.c.last_error).where(failing)
    row = connection.execute(oldest.order_by(outbox.c.first_failed_at).limit(1)).one_or_none()
    pending: int = connection.execute(select(func.count()).where(waiting)).scalar_one()
    return ChannelState(
        channel, pending, row.first_failed_at if row else None, row.last_error if row else "", delivered_at
    )
