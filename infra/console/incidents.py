"""Incidents as a person reads them, from the documents that the outbox keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from infra.outbox import Outbox
from infra.outbox_records import Delivery, IncidentRecord

RESOLVED_DAYS = 30
"""How long a resolved incident is shown."""

_SHOWN = 20


@dataclass(frozen=True)
class IncidentView:
    """One incident.

    Attributes:
        state: ``"open"`` or ``"resolved"``.
        title: Whose figures moved.
        sentences: What each figure did.
        opened_at: When it opened.
        changed_at: When it last changed.
        told: Channels that took its newest alert, and those that have not.
        acknowledged: Who takes care, with what they said; empty if nobody does.
    """

    state: str
    title: str
    sentences: tuple[str, ...]
    opened_at: datetime
    changed_at: datetime
    told: tuple[str, ...]
    acknowledged: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it needs somebody."""
        return self.state == "open"


def read_incidents(outbox: Outbox, *, now: datetime) -> list[IncidentView]:
    """Return the open incidents, then those resolved lately, the newest first.

    Raises:
        StoreError: The store cannot be read.
    """
    records = outbox.incidents(resolved_after=now - timedelta(days=RESOLVED_DAYS))
    deliveries = outbox.deliveries()
    records.sort(key=lambda record: (record.state != "open", -record.changed_at.timestamp()))
    return [_view(record, deliveries) for record in records[:_SHOWN]]


def _view(record: IncidentRecord, deliveries: Sequence[Delivery]) -> IncidentView:
    whose = record.model or "the data"
    return IncidentView(
        state=record.state,
        title=f"{record.family} figures of {whose}",
        sentences=tuple(_sentences(record.document)),
        opened_at=record.opened_at,
        changed_at=record.changed_at,
        told=tuple(_told(record.incident_id, deliveries)),
        acknowledged=_acknowledged(record.document),
    )


def _sentences(document: Mapping[str, JsonValue]) -> list[str]:
    results = document.get("results")
    found = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    return [str(result.get("message") or result.get("figure") or "") for result in found]


def _acknowledged(document: Mapping[str, JsonValue]) -> str:
    by, note = document.get("acknowledged_by"), document.get("acknowledged_note")
    return f"{by} takes care" + (f": {note}" if note else "") if by else ""


def _told(incident_id: str, deliveries: Sequence[Delivery]) -> list[str]:
    """Return one entry a channel, about the newest alert of the incident; deliveries come newest first."""
    newest: dict[str, Delivery] = {}
    for delivery in deliveries:
        if delivery.incident_id == incident_id:
            newest.setdefault(delivery.channel, delivery)
    return [f"{channel}: {_fate(delivery)}" for channel, delivery in sorted(newest.items())]


def _fate(delivery: Delivery) -> str:
    if delivery.delivered_at is not None:
        return "delivered"
    if delivery.is_refused:
        return f"refused ({delivery.last_error})"
    return f"waiting after {delivery.attempts} failures" if delivery.attempts else "waiting"
