"""Incidents, and the alerts that tell of them: written together, sent until each channel has taken each alert."""

import secrets
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, desc, func, insert, or_, select, update

from infra.database import Database
from infra.outbox_queue import channel_state, ready_ids, release_all, settle, to_delivery
from infra.outbox_records import (
    AlertRecord,
    ChannelState,
    Delivery,
    Fate,
    IncidentRecord,
    Settlement,
    SilenceRecord,
    incidents,
    outbox,
    silences,
)
from recmodels.errors import StoreError

__all__ = [
    "AlertRecord",
    "ChannelState",
    "Delivery",
    "Fate",
    "IncidentRecord",
    "Outbox",
    "Settlement",
    "SilenceRecord",
]

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

    def unsilence(self, model: str, family: str, *, now: datetime) -> int:
        """End the silences of exactly this group, and return how many there were."""
        group = (silences.c.model == model, silences.c.family == family, silences.c.until > now)
        with self._database.begin() as connection:
            return connection.execute(update(silences).where(*group).values(until=now)).rowcount

    def due(
        self, *, now: datetime, limit: int = 100, lease_seconds: float = 60.0, channels: Sequence[str] | None = None
    ) -> list[Delivery]:
        """Return deliveries that may be tried now, and keep other senders from them until the lease ends.

        Of one incident on one channel only the oldest is returned, so that a channel hears of it in order, and what is
        returned may be sent in any order, or at once. A sender that dies leaves its deliveries to the next one when the
        lease ends.

        Args:
            now: The present.
            limit: Most deliveries.
            lease_seconds: Longer than any attempt takes.
            channels: Only deliveries through these; None for all. What waits for a channel that is no longer open would
                otherwise fill the limit.
        """
        lease = secrets.token_hex(8)
        with self._database.begin(lock="outbox") as connection:
            chosen = ready_ids(connection, now=now, channels=channels, limit=limit)
            if not chosen:
                return []
            until = now + timedelta(seconds=lease_seconds)
            taking = update(outbox).where(outbox.c.id.in_(chosen)).values(lease=lease, leased_until=until)
            connection.execute(taking)
            rows = connection.execute(select(outbox).where(outbox.c.id.in_(chosen)).order_by(outbox.c.id))
            return [to_delivery(row) for row in rows]

    def has_due(self, *, now: datetime, channel: str) -> bool:
        """Return whether anything may be tried on a channel, without taking the write lock as `due` does."""
        with self._database.read() as connection:
            return bool(ready_ids(connection, now=now, channels=[channel], limit=1))

    def settle(self, settlements: Sequence[Settlement], *, now: datetime) -> None:
        """Note in one transaction how deliveries ended.

        That one was delivered is true whoever holds its lease by now; anything else changes nothing where another
        sender holds it. A refused one no longer holds up the later ones of its incident.
        """
        with self._database.begin() as connection:
            settle(connection, settlements, now=now)

    def take_over(self) -> int:
        """End every lease, and return how many there were: for a sender that knows that no other one is alive."""
        with self._database.begin(lock="outbox") as connection:
            return release_all(connection)

    def deliveries(
        self, *, key: str | None = None, incident_id: str | None = None, limit: int = 1000
    ) -> list[Delivery]:
        """Return deliveries, those of one alert, of one incident or all, the newest first."""
        query = select(outbox).order_by(desc(outbox.c.id)).limit(limit)
        if key is not None:
            query = query.where(outbox.c.key == key)
        if incident_id is not None:
            query = query.where(outbox.c.incident_id == incident_id)
        with self._database.read() as connection:
            return [to_delivery(row) for row in connection.execute(query)]

    def took_since(self, moment: datetime) -> tuple[str, ...]:
        """Return the channels that have taken an alert since a moment, by name."""
        query = select(outbox.c.channel).where(outbox.c.delivered_at >= moment).distinct().order_by(outbox.c.channel)
        with self._database.read() as connection:
            return tuple(connection.execute(query).scalars())

    def channels(self) -> list[ChannelState]:
        """Return how each channel does that ever had an alert, by name."""
        succeeded = select(outbox.c.channel, func.max(outbox.c.delivered_at).label("at")).group_by(outbox.c.channel)
        with self._database.read() as connection:
            return [channel_state(connection, row.channel, row.at) for row in connection.execute(succeeded).all()]

    def forget(self, *, before: datetime) -> int:
        """Delete the alerts recorded before a moment, and the incidents that resolved before it; return how many."""
        old = delete(outbox).where(outbox.c.created_at < before)
        over = delete(incidents).where(incidents.c.state == _RESOLVED, incidents.c.changed_at < before)
        with self._database.begin(lock="incidents") as connection:
            connection.execute(delete(silences).where(silences.c.until < before))
            return connection.execute(old).rowcount + connection.execute(over).rowcount


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
