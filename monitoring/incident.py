"""What an incident is, what is told of it, and how it is stored."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from monitoring.result import CheckResult, Finding
from recmodels.errors import EverfeedError

EVERY_MODEL = "*"
"""What a silence names instead of a model when it is for all."""

_UNSIZED = 1e6  # a drift without a size, such as a changed schema, stands before every other


_STORED = re.compile(r"(?P<seen>.*?)\s*Likely cause: (?P<cause>.*?)\. Proposed: (?P<action>.*)", re.DOTALL)
"""A message of the time when results were stored without their parts; it can go when no such incident is open."""
_CAUSES: Mapping[str, tuple[str, str]] = {
    "data": ("the data", "Compare the last ingest with the one before."),
    "population": ("the population", "See which users and surfaces grew or went."),
    "catalogue": ("the catalogue", "See which items, categories or creators took the share."),
    "model": ("the model", "Compare the champion with the one before, and roll back if it began with its release."),
    "serving": ("serving", "Look at the gateway's log and its /metrics."),
}


class IncidentError(EverfeedError):
    """An incident cannot be changed as asked."""


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    RESOLVED = "resolved"


class TransitionKind(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Incident:
    """A group of figures that drifted.

    Attributes:
        incident_id: Made from the group and the time it opened, so that the same input gives the same id.
        model: Which model's figures these are; empty for the data.
        family: Figure family.
        state: Open or resolved.
        results: The newest drifted result of each figure that is not back in order, largest first.
        opened_at: When it opened.
        changed_at: When its figures last changed.
        quiet_since: Since when all figures have been in order; None while one is not.
        resolved_at: When it resolved.
        sequence: Number of transitions announced so far.
        told_at: When the last opening or update was announced; None if never.
        told_figures: Figures that announcements have named since it last resolved; empty where people know of none.
        told_size: Largest absolute size that an announcement has named.
        acknowledged_by: Who said that they take care; updates are then kept back unless it worsens, the resolution is
            told.
        acknowledged_at: When they said so; None if nobody did.
        acknowledged_note: What they said.
    """

    incident_id: str
    model: str
    family: str
    state: IncidentState
    results: tuple[CheckResult, ...]
    opened_at: datetime
    changed_at: datetime
    quiet_since: datetime | None = None
    resolved_at: datetime | None = None
    sequence: int = 0
    told_at: datetime | None = None
    told_figures: frozenset[str] = frozenset()
    told_size: float = 0.0
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    acknowledged_note: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """What incidents are grouped by: (model, family)."""
        return (self.model, self.family)

    @property
    def size(self) -> float:
        """Largest absolute size of its figures; a million where one has none, as a changed schema has."""
        return max((size_of(result) for result in self.results), default=0.0)


_INCIDENTS = TypeAdapter(Incident)


@dataclass(frozen=True)
class Silence:
    """A group that nobody is told about until a time.

    Attributes:
        model: Which model's figures; empty for the data, ``*`` for all.
        family: Figure family; empty for every family.
        until: End of the silence.
        reason: Why.
    """

    model: str
    family: str
    until: datetime
    reason: str = ""

    def covers(self, incident: Incident, *, now: datetime) -> bool:
        """Return whether nobody is told about this incident at `now`."""
        is_model = self.model in {EVERY_MODEL, incident.model}
        return is_model and self.family in {"", incident.family} and now < self.until


@dataclass(frozen=True)
class Transition:
    """One announced change of an incident.

    Attributes:
        key: The same for the same change, however often it is computed or sent.
        kind: What happened.
        incident: The incident after it.
        at: When.
    """

    key: str
    kind: TransitionKind
    incident: Incident
    at: datetime


def incident_document(incident: Incident) -> dict[str, object]:
    """Return an incident as JSON values, for a store to keep."""
    document: dict[str, object] = _INCIDENTS.dump_python(incident, mode="json")
    return document


def incident_from(document: Mapping[str, object]) -> Incident:
    """Return the incident that `incident_document` wrote.

    Raises:
        pydantic.ValidationError: The document is not one of an incident.
    """
    return _INCIDENTS.validate_python(dict(document))


def figure_of(result: CheckResult) -> str:
    """Return the figure with its slice, unique within a model."""
    return f"{result.figure}[{result.slice}]" if result.slice else result.figure


def size_of(result: CheckResult) -> float:
    """Return the absolute size of a deviation in day-to-day spreads; a million where it has none."""
    return _UNSIZED if result.size is None else abs(result.size)


def finding_of(result: CheckResult) -> Finding:
    """Return what a person is told of a result; a cause and an action by its family where it names none."""
    if result.finding is not None:
        return result.finding
    parts = _STORED.fullmatch(result.message)
    if parts:
        return Finding(parts["seen"], parts["cause"], parts["action"])
    cause, action = _CAUSES.get(result.family, ("unknown", "Look at the report."))
    return Finding(result.message, cause, action)
