"""An alert as every channel words it: the labelled facts, and plain text."""

from datetime import datetime

from monitoring.alerts.alert import Alert


def facts_of(alert: Alert) -> tuple[tuple[str, str], ...]:
    """Return (label, value) of what is known, the figure first; unescaped."""
    known = (
        ("Figure", alert.figure),
        ("Size", "" if alert.size is None else f"{alert.size:+.1f} of its day-to-day spread"),
        ("Since", _moment(alert.since)),
        ("Slice", alert.slice or ("all" if alert.figure else "")),
        ("Likely cause", alert.cause),
        ("Proposed action", alert.action),
    )
    return tuple((label, value) for label, value in known if value)


def plain_text(alert: Alert) -> str:
    """Return the whole alert as text: what moved, the facts, the report, and how to take care of it."""
    lines = [alert.text, ""]
    lines += [f"{label}: {value}" for label, value in facts_of(alert)]
    lines += [f"Report: {alert.link}"] if alert.link else []
    return "\n".join([*lines, "", footer(alert)])


def footer(alert: Alert) -> str:
    """Return the line that says which incident it is, and what to type."""
    start = f"Incident {alert.incident_id}, told {_moment(alert.created_at)}."
    if alert.transition in {"resolved", "acknowledged"}:
        return start
    return f"{start} Take care of it: everfeed alerts ack {alert.incident_id}"


def shortened(text: str, limit: int) -> str:
    """Return the text, cut with an ellipsis where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
