"""Incidents as a person reads them, from the documents that the outbox keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import JsonValue

from infra.outbox import Outbox
from infra.outbox_records import Delivery, IncidentRecord, SilenceRecord

RESOLVED_DAYS = 30
"""How long a resolved incident is shown."""


@dataclass(frozen=True)
class FigureLine:
    """One figure of an incident: what moved, why it may be, what is proposed."""

    name: str
    seen: str
    cause: str
    action: str


@dataclass(frozen=True)
class IncidentView:
    """One incident.

    Attributes:
        incident_id: Its id.
        state: ``"open"``, ``"acknowledged"``, ``"silenced"`` or ``"resolved"``.
        title: Whose figures moved.
        model: Whose figures; empty for the data.
        family: Figure family.
        figures: What each figure did, the furthest out first.
        opened_at: When it opened.
        changed_at: When it last changed.
        told: What became of its newest alert, by channel.
        acknowledged: Who takes care, with what they said; empty if nobody does.
        silenced_until: Until when nobody is told; None for no silence.
    """

    incident_id: str
    state: str
    title: str
    model: str
    family: str
    figures: tuple[FigureLine, ...]
    opened_at: datetime
    changed_at: datetime
    told: tuple[str, ...]
    acknowledged: str = ""
    silenced_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state != "resolved"


def read_incidents(outbox: Outbox, *, now: datetime, limit: int) -> list[IncidentView]:
    """Return the open incidents, then those resolved lately, the newest first.

    Raises:
        StoreError: The store cannot be read.
    """
    records = outbox.incidents(resolved_after=now - timedelta(days=RESOLVED_DAYS))
    records.sort(key=lambda record: (record.state != "open", -record.changed_at.timestamp()))
    deliveries: dict[str, list[Delivery]] = {}
    for delivery in outbox.deliveries():
        deliveries.setdefault(delivery.incident_id, []).append(delivery)
    silences = outbox.silences(now=now)
    return [_view(record, deliveries.get(record.incident_id, ()), silences) for record in records[:limit]]


def read_incident(outbox: Outbox, incident_id: str, *, now: datetime) -> tuple[IncidentView, list[Delivery]]:
    """Return one incident with what each channel was sent of it, the newest first.

    Raises:
        StoreError: There is none with this id, or the store cannot be read.
    """
    record, deliveries = outbox.incident(incident_id), outbox.deliveries(incident_id=incident_id)
    return _view(record, deliveries, outbox.silences(now=now)), deliveries


def fate(delivery: Delivery) -> str:
    """Return what became of a delivery, in words."""
    if delivery.delivered_at is not None:
        return "delivered"
    if delivery.is_refused:
        return f"refused ({delivery.last_error})"
    return f"waiting after {delivery.attempts} failures" if delivery.attempts else "waiting"


def _view(record: IncidentRecord, deliveries: Sequence[Delivery], silences: Sequence[SilenceRecord]) -> IncidentView:
    acknowledged = _acknowledged(record.document)
    until = max((one.until for one in silences if _covers(one, record)), default=None)
    state = record.state
    if state == "open" and acknowledged:
        state = "acknowledged"
    elif state == "open" and until is not None:
        state = "silenced"
    return IncidentView(
        incident_id=record.incident_id,
        state=state,
        title=_title(record),
        model=record.model,
        family=record.family,
        figures=tuple(_figures(record.document)),
        opened_at=record.opened_at,
        changed_at=record.changed_at,
        told=tuple(_told(deliveries)),
        acknowledged=acknowledged,
        silenced_until=until,
    )


def _title(record: IncidentRecord) -> str:
    """Return what an incident is about; what is no model's is the data's, and need not be said of the data."""
    whose = f" of {record.model}" if record.model else "" if record.family == "data" else " of the data"
    return f"{record.family.capitalize()} figures{whose}"


def _covers(silence: SilenceRecord, record: IncidentRecord) -> bool:
    return silence.model in {"*", record.model} and silence.family in {"", record.family}


def _figures(document: Mapping[str, JsonValue]) -> list[FigureLine]:
    results = document.get("results")
    found = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    return [_figure(result) for result in found]


def _figure(result: Mapping[str, JsonValue]) -> FigureLine:
    name, part = _text(result.get("figure")), _text(result.get("slice"))
    finding = result.get("finding")
    parts = finding if isinstance(finding, dict) else {}
    seen = _text(parts.get("seen")) or _text(result.get("message")) or name
    return FigureLine(f"{name} ({part})" if part else name, seen, _text(parts.get("cause")), _text(parts.get("action")))


def _text(value: JsonValue) -> str:
    return "" if value is None else str(value)


def _acknowledged(document: Mapping[str, JsonValue]) -> str:
    by, note = document.get("acknowledged_by"), document.get("acknowledged_note")
    return f"{by} takes care" + (f": {note}" if note else "") if by else ""


def _told(deliveries: Sequence[Delivery]) -> list[str]:
    """Return one entry a channel, about the newest alert of an incident; its deliveries come newest first."""
    newest: dict[str, Delivery] = {}
    for delivery in deliveries:
        newest.setdefault(delivery.channel, delivery)
    return [f"{channel}: {fate(delivery)}" for channel, delivery in sorted(newest.items())]
