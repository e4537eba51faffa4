"""What is sent: one alert a transition, and how a delivery can fail."""

from dataclasses import asdict, dataclass
from datetime import datetime

from monitoring.incidents import Transition, TransitionKind, figure_of
from recmodels.errors import EverfeedError

_SHOWN = 5


class ChannelError(EverfeedError):
    """A channel's options are unknown or out of their range."""


class DeliveryError(Exception):
    """A channel did not take an alert.

    Attributes:
        reason: What happened, in words, without secrets.
        is_retryable: Trying again later can help.
        is_ambiguous: The alert may have arrived: the next attempt uses the same key, so that the sink can tell.
    """

    def __init__(self, reason: str, *, is_retryable: bool, is_ambiguous: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_retryable = is_retryable
        self.is_ambiguous = is_ambiguous


@dataclass(frozen=True)
class Alert:
    """One message to people.

    Attributes:
        key: Idempotency key: one a transition, the same at every attempt and on every channel.
        incident_id: The incident; alerts of one incident are delivered in order.
        transition: ``opened``, ``updated`` or ``resolved``.
        title: One line.
        text: What moved, by how much, since when, and what is proposed.
        severity: ``info``, ``warning`` or ``critical``.
        figure: The figure that moved most.
        size: Its deviation in day-to-day spreads; None where that has no meaning.
        since: When the deviation began.
        created_at: Time of the transition.
        model: Which model's figures; empty for the data.
        link: Address of a report, or empty.
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

    def document(self) -> dict[str, object]:
        """Return the alert as JSON values; times as ISO 8601."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()
        }


def alert_of(transition: Transition, *, link: str = "") -> Alert:
    """Return the message of a transition.

    Args:
        transition: What happened to an incident.
        link: Address of a report that a person would open.
    """
    incident = transition.incident
    worst = incident.results[0] if incident.results else None
    what = f"{incident.family} drift" + (f" of {incident.model}" if incident.model else "")
    if transition.kind is TransitionKind.RESOLVED or worst is None:
        figure, title, text = "", f"Resolved: {what}", "All figures of the incident are back within their history."
    else:
        figure = figure_of(worst)
        size = "" if worst.size is None else f" {worst.size:+.1f} spreads"
        title = f"{transition.kind.value.capitalize()}: {what}: {figure}{size}"
        text = "\n".join(result.message for result in incident.results[:_SHOWN])
        if len(incident.results) > _SHOWN:
            text += f"\nand {len(incident.results) - _SHOWN} more figures."
    return Alert(
        key=transition.key,
        incident_id=incident.incident_id,
        transition=transition.kind.value,
        title=title,
        text=text,
        severity=_severity(transition),
        figure=figure,
        size=worst.size if worst else None,
        since=worst.since if worst else None,
        created_at=transition.at,
        model=incident.model,
        link=link,
    )


def _severity(transition: Transition) -> str:
    if transition.kind is TransitionKind.RESOLVED:
        return "info"
    return "critical" if transition.incident.family in {"data", "serving"} else "warning"
