"""What is sent: one alert a transition, and how a delivery can fail."""

import re
from dataclasses import dataclass, fields
from datetime import datetime

from monitoring.alerts.disk import DISK_FAMILY
from monitoring.alerts.health import DELIVERY_FAMILY
from monitoring.alerts.retraining import RETRAINING_FAMILY
from monitoring.incident import Incident, Transition, TransitionKind, figure_of, finding_of
from monitoring.result import Finding
from recmodels.errors import EverfeedError

_SHOWN = 5
_CRITICAL = {"data", "serving", DELIVERY_FAMILY}
_SUBJECTS = {DELIVERY_FAMILY: "alert delivery", RETRAINING_FAMILY: "retraining", DISK_FAMILY: "disk space"}
"""What incidents are about that are not of drift."""
_USER_ID = re.compile(r"\b(user_?id)\s*=\s*[^\s,;\])]+", re.IGNORECASE)


class ChannelError(EverfeedError):
    """A channel's options are unknown or out of their range, or what it needs is not installed."""


class DeliveryError(Exception):
    """A channel did not take an alert.

    Attributes:
        reason: What happened, in words, without secrets.
        is_retryable: Trying again later can help, without a change of the alert.
        is_ambiguous: The alert may have arrived: the next attempt uses the same key, so that the sink can tell.
        retry_after_seconds: How long the sink asked to be left alone, or None.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_retryable: bool,
        is_ambiguous: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_retryable = is_retryable
        self.is_ambiguous = is_ambiguous
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Alert:
    """One message to people.

    Attributes:
        key: Idempotency key: one a transition, the same at every attempt and on every channel.
        incident_id: The incident; alerts of one incident are delivered in order.
        transition: ``opened``, ``updated``, ``acknowledged`` or ``resolved``.
        title: One line.
        text: What moved, by how much, since when: a line a figure.
        severity: ``info``, ``warning`` or ``critical``.
        figure: The figure that moved most, with its slice.
        size: Its deviation in day-to-day spreads; None where that has no meaning.
        since: When the deviation began.
        created_at: Time of the transition.
        model: Which model's figures; empty for the data.
        link: Address of a report, or empty.
        subject: What the incident is about, the same for all of its alerts.
        slice: The part of the data that moved most, such as ``surface=live``; empty for all.
        cause: The likely cause, or empty.
        action: What is proposed, or empty.
    """

    key: str
    incident_id: str
    transition: str
    title: str
    text: str
    severity: str
    figure: str
    size: float | None
    since: datetime | None
    created_at: datetime
    model: str = ""
    link: str = ""
    subject: str = ""
    slice: str = ""
    cause: str = ""
    action: str = ""

    def document(self) -> dict[str, object]:
        """Return the alert as JSON values; times as ISO 8601."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def alert_of(transition: Transition, *, link: str = "") -> Alert:
    """Return the message of a transition; a raw user id in a slice or a sentence is left out.

    Args:
        transition: What happened to an incident.
        link: Address of a report that a person would open.
    """
    incident = transition.incident
    worst = incident.results[0] if incident.results else None
    is_over = transition.kind is TransitionKind.RESOLVED or worst is None
    finding = Finding("", "", "") if is_over or worst is None else finding_of(worst)
    return Alert(
        key=transition.key,
        incident_id=incident.incident_id,
        transition=transition.kind.value,
        title=_without_users(_title(transition)),
        text=_without_users(_text(transition)),
        severity=_severity(transition),
        figure="" if is_over or worst is None else _without_users(figure_of(worst)),
        size=worst.size if worst else None,
        since=incident.opened_at if worst is None else worst.since,
        created_at=transition.at,
        model=incident.model,
        link=link,
        subject=subject_of(incident),
        slice="" if is_over or worst is None else _without_users(worst.slice),
        cause=finding.cause,
        action=finding.action,
    )


def subject_of(incident: Incident) -> str:
    """Return what an incident is about, the same as long as it lasts."""
    drift = f"{incident.family} drift" + (f" of {incident.model}" if incident.model else "")
    return _SUBJECTS.get(incident.family, drift)


def _title(transition: Transition) -> str:
    incident = transition.incident
    start = f"{transition.kind.value.capitalize()}: {subject_of(incident)}"
    if transition.kind is TransitionKind.ACKNOWLEDGED:
        return f"{start}, by {incident.acknowledged_by}"
    if transition.kind is TransitionKind.RESOLVED or not incident.results:
        return start
    worst = incident.results[0]
    size = "" if worst.size is None else f" {worst.size:+.1f} spreads"
    return f"{start}: {figure_of(worst)}{size}"


def _text(transition: Transition) -> str:
    incident = transition.incident
    if transition.kind is TransitionKind.RESOLVED or not incident.results:
        return f"All figures of the incident are back in order. It was open since {_moment(incident.opened_at)}."
    lines = [finding_of(result).seen for result in incident.results[:_SHOWN]]
    if len(incident.results) > _SHOWN:
        lines.append(f"and {len(incident.results) - _SHOWN} more figures.")
    if transition.kind is TransitionKind.ACKNOWLEDGED:
        lines.insert(0, f"{incident.acknowledged_by} takes care: {incident.acknowledged_note or 'no note'}")
    elif incident.acknowledged_by:
        lines.insert(0, f"It became worse after {incident.acknowledged_by} had acknowledged it.")
    return "\n".join(lines)


def _severity(transition: Transition) -> str:
    if transition.kind in {TransitionKind.RESOLVED, TransitionKind.ACKNOWLEDGED}:
        return "info"
    return "critical" if transition.incident.family in _CRITICAL else "warning"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _without_users(text: str) -> str:
    return _USER_ID.sub(r"\1=(left out)", text)
