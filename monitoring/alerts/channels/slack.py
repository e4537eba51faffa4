"""Alert channel: a Slack message of blocks through an incoming webhook.

Slack knows no idempotency key: the alert's key stands in the message's last line, for people to see a second copy.
Source: Slack's reference of Block Kit (limits of each block) and of message formatting (``&``, ``<`` and ``>``).
"""

import json

from pydantic import BaseModel, ConfigDict, Field

from monitoring.alerts.alert import Alert
from monitoring.alerts.posting import Poster
from monitoring.alerts.secret_url import SecretHttpUrl
from monitoring.alerts.wording import facts_of, footer, shortened

_MARKS = {"opened": "🔴", "updated": "🟠", "acknowledged": "🔵", "resolved": "🟢"}
_HEADER_LIMIT, _TEXT_LIMIT, _FIELD_LIMIT = 150, 2900, 1900
_LONG_LABELS = {"Likely cause", "Proposed action"}

Block = dict[str, object]


class Channel:
    """Posts alerts to a Slack channel."""

    class Config(BaseModel):
        """Where."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        url: SecretHttpUrl
        """Address of the incoming webhook: whoever knows it can post."""
        timeout_seconds: float = Field(5, gt=0, le=20)
        """Longest wait for a connection, and for the answer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._poster = Poster(config.url.get_secret_value(), timeout_seconds=config.timeout_seconds)

    def send(self, alert: Alert) -> None:
        """Post one message.

        Raises:
            DeliveryError: As `Poster.post` says.
        """
        body = json.dumps(message_of(alert), ensure_ascii=False).encode()
        self._poster.post(body, {"Content-Type": "application/json", "Idempotency-Key": alert.key})


def message_of(alert: Alert) -> dict[str, object]:
    """Return Slack's message: a header, what moved, the facts, a button to the report, and the incident's line."""
    facts = facts_of(alert)
    short = [_field(label, value) for label, value in facts if label not in _LONG_LABELS]
    blocks: list[Block] = [
        {"type": "header", "text": _plain(f"{_MARKS.get(alert.transition, '')} {alert.title}", _HEADER_LIMIT)},
        {"type": "section", "text": _plain(alert.text or alert.title, _TEXT_LIMIT)},
    ]
    if short:
        blocks.append({"type": "section", "fields": short})
    blocks += [{"type": "section", "text": _field(label, value)} for label, value in facts if label in _LONG_LABELS]
    if alert.link:
        button: Block = {"type": "button", "text": _plain("Open the report", 75), "url": alert.link}
        blocks.append({"type": "actions", "elements": [button]})
    blocks.append({"type": "context", "elements": [_plain(f"{footer(alert)} Key {alert.key}", _FIELD_LIMIT)]})
    return {"text": escaped(alert.title, _TEXT_LIMIT), "blocks": blocks}


def escaped(text: str, limit: int) -> str:
    """Return text that Slack's mrkdwn shows as it is: no link, no mention, no entity; cut to `limit` with them."""
    while len(safe := text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) > limit:
        text = shortened(text, max(1, len(text) * limit // len(safe)))
    return safe


def _field(label: str, value: str) -> Block:
    """Return a bold label with its value; a value in code marks keeps its underscores and asterisks."""
    quoted = escaped(value, _FIELD_LIMIT).replace("`", "'")
    value = f"`{quoted}`" if label in {"Figure", "Slice"} else quoted
    return {"type": "mrkdwn", "text": f"*{label}*\n{value}", "verbatim": True}


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": shortened(text.strip(), limit), "emoji": False}
