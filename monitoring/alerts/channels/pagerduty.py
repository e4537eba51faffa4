"""Alert channel: PagerDuty's Events API v2, one PagerDuty alert an incident.

The incident is the `dedup_key`: a second copy of any alert changes nothing, and the resolution closes what was opened.
Source: PagerDuty's reference of "Send an Event to PagerDuty", Events API v2.
"""

import json

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from monitoring.alerts.alert import Alert
from monitoring.alerts.posting import Poster
from monitoring.alerts.wording import facts_of, plain_text, shortened

_ACTIONS = {"opened": "trigger", "updated": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
_SUMMARY_LIMIT = 1024


class Channel:
    """Triggers, acknowledges and resolves through PagerDuty."""

    class Config(BaseModel):
        """Which service, and where its API is."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        routing_key: SecretStr = Field(min_length=1)
        """Integration key of the service: 32 characters."""
        url: AnyHttpUrl = AnyHttpUrl("https://events.pagerduty.com/v2/enqueue")
        """The API; accounts in Europe have https://events.eu.pagerduty.com/v2/enqueue."""
        source: str = Field("everfeed", min_length=1)
        """Which installation speaks."""
        timeout_seconds: float = Field(5, gt=0, le=20)
        """Longest wait for a connection, and for the answer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._poster = Poster(str(config.url), timeout_seconds=config.timeout_seconds)

    def send(self, alert: Alert) -> None:
        """Send one event; 202 is a delivery.

        Raises:
            DeliveryError: As `Poster.post` says.
        """
        event = event_of(alert, routing_key=self.config.routing_key.get_secret_value(), source=self.config.source)
        body = json.dumps(event, ensure_ascii=False).encode()
        self._poster.post(body, {"Content-Type": "application/json", "Idempotency-Key": alert.key})


def event_of(alert: Alert, *, routing_key: str, source: str) -> dict[str, object]:
    """Return the event of an alert; acknowledging and resolving need the key of the incident alone."""
    event: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[alert.transition],
        "dedup_key": alert.incident_id,
    }
    if event["event_action"] != "trigger":
        return event
    event["payload"] = {
        "summary": shortened(alert.title, _SUMMARY_LIMIT),
        "source": source,
        "severity": alert.severity,
        "timestamp": alert.created_at.isoformat(),
        "component": alert.model or "data",
        "group": alert.subject,
        "class": alert.figure,
        "custom_details": {**dict(facts_of(alert)), "key": alert.key, "text": plain_text(alert)},
    }
    event["client"] = "Everfeed"
    if alert.link:
        event["client_url"] = alert.link
        event["links"] = [{"href": alert.link, "text": "Report"}]
    return event
