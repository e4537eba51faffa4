"""What `everfeed alerts` shows, read from the outbox and the channels of one home; it imports no Prefect."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from flows.channels import default_channels
from flows.clock import utc_now
from flows.incidents import find_incident, silences_of
from infra.database import open_database
from infra.outbox import Delivery, Outbox, SilenceRecord
from infra.settings import Settings
from monitoring.incident import Incident, IncidentState, Silence, figure_of, finding_of
from monitoring.incidents import incident_from

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class IncidentLine:
    """One incident as a person reads it; the figure that moved most stands for it.

    Attributes:
        incident_id: Its id.
        state: ``open``, ``acknowledged``, ``silenced`` or ``resolved``.
        model: Whose figures; empty for the data.
        family: Figure family.
        figure: The figure that moved most; empty once it is over.
        size: Its deviation in day-to-day spreads, or None.
        since: When the deviation began.
        slice: The part of the data it is about; empty for all.
        cause: The likely cause.
        action: What is proposed.
        num_figures: Figures that are not back in order.
        opened_at: When it opened.
        resolved_at: When it resolved, or None.
        acknowledged_by: Who takes care, or empty.
        acknowledged_note: What they said.
        silenced_until: End of the silence over it, or None.
    """

    incident_id: str
    state: str
    model: str
    family: str
    figure: str
    size: float | None
    since: datetime | None
    slice: str
    cause: str
    action: str
    num_figures: int
    opened_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str
    acknowledged_note: str
    silenced_until: datetime | None

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class IncidentPage:
    """One incident with all of its figures, and what each channel was sent of it, the oldest first."""

    line: IncidentLine
    sentences: tuple[str, ...]
    deliveries: tuple[Delivery, ...]

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        sent = [
            {
                "channel": one.channel,
                "key": one.key,
                "created_at": one.created_at,
                "delivered_at": one.delivered_at,
                "is_refused": one.is_refused,
                "attempts": one.attempts,
                "last_error": one.last_error,
            }
            for one in self.deliveries
        ]
        return {**self.line.document(), "sentences": list(self.sentences), "deliveries": sent}


@dataclass(frozen=True)
class ChannelLine:
    """One channel: configured or not, what waits for it, and how it does."""

    channel: str
    plugin: str
    is_configured: bool
    pending: int
    delivered_at: datetime | None
    failing_since: datetime | None
    last_error: str
    refused_at: datetime | None
    refusal: str


def read_incidents(settings: Settings, *, everything: bool) -> list[IncidentLine]:
    """Return the open incidents, and with `everything` the resolved ones after them, the newest first."""
    now = utc_now()
    with opened_outbox(settings) as outbox:
        records = outbox.incidents(resolved_after=_EVER if everything else None)
        silences = silences_of(outbox, now=now)
    found = sorted((incident_from(one.document) for one in records), key=lambda one: one.opened_at, reverse=True)
    found.sort(key=lambda one: one.state is IncidentState.RESOLVED)
    return [line_of(one, silences, now=now) for one in found]


def read_incident(settings: Settings, start: str) -> IncidentPage:
    """Return the incident whose id begins with `start`.

    Raises:
        IncidentError: None does, or more than one.
    """
    now = utc_now()
    with opened_outbox(settings) as outbox:
        incident = incident_from(find_incident(outbox, start).document)
        deliveries = outbox.deliveries(incident_id=incident.incident_id)
        silences = silences_of(outbox, now=now)
    sentences = tuple(f"{figure_of(one)}: {one.message}" for one in incident.results)
    return IncidentPage(line_of(incident, silences, now=now), sentences, tuple(reversed(deliveries)))


def read_silences(settings: Settings) -> list[SilenceRecord]:
    """Return the silences that hold, the one that ends first in front."""
    with opened_outbox(settings) as outbox:
        return outbox.silences(now=utc_now())


def read_channels(settings: Settings) -> list[ChannelLine]:
    """Return the configured channels, then those that only have alerts left."""
    choices = default_channels(settings)
    with opened_outbox(settings) as outbox:
        states = {state.channel: state for state in outbox.channels()}
    lines = []
    for name in (*choices, *(name for name in states if name not in choices)):
        state, choice = states.get(name), choices.get(name)
        lines.append(
            ChannelLine(
                channel=name,
                plugin=choice.name if choice else "",
                is_configured=choice is not None,
                pending=state.pending if state else 0,
                delivered_at=state.delivered_at if state else None,
                failing_since=state.failing_since if state else None,
                last_error=state.last_error if state else "",
                refused_at=state.refused_at if state else None,
                refusal=state.refusal if state else "",
            )
        )
    return lines


def line_of(incident: Incident, silences: Sequence[Silence], *, now: datetime) -> IncidentLine:
    """Return an incident as a line."""
    worst = incident.results[0] if incident.results else None
    finding = finding_of(worst) if worst else None
    until = max((one.until for one in silences if one.covers(incident, now=now)), default=None)
    state = incident.state.value
    if incident.state is IncidentState.OPEN and incident.acknowledged_by:
        state = "acknowledged"
    elif incident.state is IncidentState.OPEN and until:
        state = "silenced"
    return IncidentLine(
        incident_id=incident.incident_id,
        state=state,
        model=incident.model,
        family=incident.family,
        figure=worst.figure if worst else "",
        size=worst.size if worst else None,
        since=worst.since if worst else incident.opened_at,
        slice=worst.slice if worst else "",
        cause=finding.cause if finding else "",
        action=finding.action if finding else "",
        num_figures=len(incident.results),
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        acknowledged_by=incident.acknowledged_by,
        acknowledged_note=incident.acknowledged_note,
        silenced_until=until,
    )


@contextmanager
def opened_outbox(settings: Settings) -> Iterator[Outbox]:
    """Open the outbox of a home for the length of a `with` block.

    Raises:
        StoreError: The database cannot be used.
    """
    database = open_database(settings.database)
    try:
        yield Outbox(database)
    finally:
        database.close()
