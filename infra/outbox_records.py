"""What the outbox keeps: its tables, and the records that it takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint, text

from infra.columns import BigKey, Moment, metadata

_IS_PENDING = text("delivered_at IS NULL")
_WAITS_ON_SQLITE = text("delivered_at IS NULL AND is_refused IS 0")
_WAITS_ON_POSTGRESQL = text("delivered_at IS NULL AND is_refused IS false")

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("family", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False, index=True),
    Column("document", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
)

silences = Table(
    "silences",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("model", String, nullable=False),
    Column("family", String, nullable=False),
    Column("until", Moment, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Moment, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("channel", String, nullable=False),
    Column("key", String, nullable=False),
    Column("incident_id", String, nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("first_failed_at", Moment),
    Column("last_error", Text),
    Column("lease", String),
    Column("leased_until", Moment),
    Column("delivered_at", Moment),
    Column("is_refused", Boolean, nullable=False),
    UniqueConstraint("channel", "key"),
    Index("ix_outbox_pending", "channel", "incident_id", "id", sqlite_where=_IS_PENDING, postgresql_where=_IS_PENDING),
    Index("ix_outbox_delivered", "channel", "delivered_at"),
    Index(
        "ix_outbox_due",
        "channel",
        "next_at",
        "id",
        sqlite_where=_WAITS_ON_SQLITE,
        postgresql_where=_WAITS_ON_POSTGRESQL,
    ),
)


@dataclass(frozen=True)
class IncidentRecord:
    """One incident as it is kept.

    Attributes:
        incident_id: Its key.
        model: Which model's figures; empty for the data.
        family: Figure family.
        state: ``open`` or ``resolved``.
        opened_at: When it opened.
        changed_at: When it last changed.
        document: The whole incident as JSON values.
        revision: How often it was written; 0 for one that is new.
    """

    incident_id: str
    model: str
    family: str
    state: str
    opened_at: datetime
    changed_at: datetime
    document: Mapping[str, JsonValue]
    revision: int = 0


@dataclass(frozen=True)
class AlertRecord:
    """One alert that is to reach every channel.

    Attributes:
        key: Idempotency key; the same one twice goes out once.
        incident_id: Alerts of one incident reach a channel in the order in which they were recorded.
        document: The whole alert as JSON values.
    """

    key: str
    incident_id: str
    document: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Delivery:
    """One alert on its way through one channel.

    Attributes:
        delivery_id: Its key, growing with time.
        channel: Name of the channel.
        key: Idempotency key of the alert.
        incident_id: The alert's incident.
        document: The whole alert as JSON values.
        created_at: When it was recorded.
        attempts: Failed attempts so far.
        next_at: Not before.
        first_failed_at: When it first failed, or None.
        last_error: Why it last failed, or empty.
        delivered_at: When it was delivered, or None.
        is_refused: The channel refused it for good; nothing more is tried.
        lease: Token of the sender that holds it; empty for none.
    """

    delivery_id: int
    channel: str
    key: str
    incident_id: str
    document: Mapping[str, JsonValue]
    created_at: datetime
    attempts: int
    next_at: datetime
    first_failed_at: datetime | None
    last_error: str
    delivered_at: datetime | None
    is_refused: bool
    lease: str


class Fate(StrEnum):
    """What became of one attempt to deliver."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    UNTRIED = "untried"


@dataclass(frozen=True)
class Settlement:
    """How a leased delivery ended, for the outbox to note.

    Attributes:
        delivery: The delivery, as it was handed out.
        fate: Delivered; failed, to be tried again; refused for good; or given back untried.
        error: Why it failed or was refused, without secrets.
        retry_at: When to try a failed one again.
    """

    delivery: Delivery
    fate: Fate
    error: str = ""
    retry_at: datetime | None = None


@dataclass(frozen=True)
class SilenceRecord:
    """A group that nobody is told about until a time; `model` is ``*`` for all, `family` empty for every family."""

    model: str
    family: str
    until: datetime
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True)
class ChannelState:
    """How one channel does.

    Attributes:
        channel: Its name.
        pending: Alerts that wait for it.
        failing_since: First failure since its last success, of an alert that still waits; None while it works.
        last_error: Why it last failed, or empty.
        delivered_at: Its last success, or None.
        refused_at: When the newest alert that it refused for good was recorded, or None.
        refusal: Why it was refused, or empty.
    """

    channel: str
    pending: int
    failing_since: datetime | None
    last_error: str
    delivered_at: datetime | None
    refused_at: datetime | None = None
    refusal: str = ""
