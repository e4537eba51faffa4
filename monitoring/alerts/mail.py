"""An alert as an email: text and HTML, with the headers that put an incident's emails into one thread."""

import hashlib
import html
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from monitoring.alerts.alert import Alert
from monitoring.alerts.wording import facts_of, footer, plain_text

_COLOURS = {"critical": "#b42318", "warning": "#b54708", "info": "#175cd3"}


def message_of(alert: Alert, *, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Return the email of an alert.

    Args:
        alert: What to tell.
        sender: Address that it comes from; the Message-ID has its domain.
        recipients: Addresses that it goes to.
    """
    domain = sender.rsplit("@", 1)[1]
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = _one_line(f"[Everfeed] {alert.subject or alert.title} ({alert.incident_id[:8]})")
    message["Date"] = format_datetime(alert.created_at)
    message["Message-ID"] = f"<{_digest(alert.key)}@{domain}>"
    root = f"<{_digest(alert.incident_id)}@{domain}>"
    message["In-Reply-To"] = root
    message["References"] = root
    message["Auto-Submitted"] = "auto-generated"
    message["X-Everfeed-Key"] = _one_line(alert.key)
    message["X-Everfeed-Severity"] = _one_line(alert.severity)
    message.set_content(f"{alert.title}\n\n{plain_text(alert)}\n")
    message.add_alternative(html_of(alert), subtype="html")
    return message


def html_of(alert: Alert) -> str:
    """Return the HTML part: everything that came from data is escaped, and nothing is loaded from elsewhere."""
    moved = "<br>".join(html.escape(line) for line in alert.text.splitlines())
    rows = "".join(
        f'<tr><th align="left" valign="top">{html.escape(label)}</th><td>{html.escape(value)}</td></tr>'
        for label, value in facts_of(alert)
    )
    link = f'<p><a href="{html.escape(alert.link)}">Open the report</a></p>' if alert.link else ""
    colour = _COLOURS.get(alert.severity, _COLOURS["info"])
    return (
        '<!doctype html><html><body style="font-family:sans-serif">'
        f'<h2 style="color:{colour}">{html.escape(alert.title)}</h2><p>{moved}</p>'
        f'<table cellpadding="4">{rows}</table>{link}<p><small>{html.escape(footer(alert))}</small></p></body></html>\n'
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _one_line(text: str) -> str:
    return " ".join(text.split())
