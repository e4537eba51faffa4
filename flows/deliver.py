"""Alerts on their way: what is due goes out through its channel, and what fails is tried again later."""

from datetime import UTC, datetime

import numpy as np
from prefect import flow, task
from pydantic import TypeAdapter

from flows.channels import ChannelChoice, default_channels
from flows.wiring import Platform, platform
from infra.outbox_records import Delivery
from monitoring.alerts.alert import Alert
from monitoring.alerts.channels import Channel, open_channel
from monitoring.alerts.delivery import Outcome, RetryConfig, attempt, retry_at

_ROUNDS = 50
_ALERTS = TypeAdapter(Alert)


@flow(name="deliver", description="Send the alerts that are due.", persist_result=False)
def deliver(channels: dict[str, ChannelChoice] | None = None) -> tuple[str, ...]:
    """Send what is due, round by round, since each incident's alerts go out in order.

    Args:
        channels: Alert channels by name; those of the settings when left out.

    Returns:
        The names of the channels that took an alert.
    """
    return send_due(channels or default_channels(platform().settings))


@task(name="send alerts")
def send_due(channels: dict[str, ChannelChoice]) -> tuple[str, ...]:
    """Try every delivery that is due once; a failure is put off, a refusal is kept with its reason."""
    home = platform()
    opened = {name: open_channel(choice.name, choice.options) for name, choice in channels.items()}
    rng = np.random.default_rng()
    took: list[str] = []
    for _ in range(_ROUNDS):
        due = home.outbox.due(now=datetime.now(UTC), channels=list(opened))
        if not due:
            break
        took += [d.channel for d in due if _send(home, d, opened[d.channel], rng=rng)]
    return tuple(sorted(set(took)))


def _send(home: Platform, delivery: Delivery, channel: Channel, *, rng: np.random.Generator) -> bool:
    result = attempt(_ALERTS.validate_python(dict(delivery.document)), channel)
    now = datetime.now(UTC)
    if result.outcome == Outcome.DELIVERED:
        home.outbox.delivered(delivery, now=now)
    elif result.outcome == Outcome.REFUSED:
        home.outbox.refused(delivery, error=result.reason)
    else:
        again = retry_at(delivery.attempts + 1, now=now, config=RetryConfig(), rng=rng)
        home.outbox.failed(delivery, error=result.reason, retry_at=again, now=now)
    return result.outcome == Outcome.DELIVERED
