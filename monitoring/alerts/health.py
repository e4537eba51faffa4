"""Health of the channels themselves: one that takes nothing, or refused an alert, opens an incident like a figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from monitoring.incident import Incident, figure_of
from monitoring.result import CheckResult, Finding, Status

DELIVERY_MODEL = "alert channels"
"""What incidents of the channels name instead of a model, so that no run of the monitor touches them."""
DELIVERY_FAMILY = "delivery"


class HealthConfig(BaseModel):
    """When a channel is spoken of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dead_after_seconds: float = Field(900, gt=0)
    """A channel that has failed for this long without one success is dead."""
    refused_seconds: float = Field(86400, gt=0)
    """A refusal for good is spoken of for this long."""


@dataclass(frozen=True)
class ChannelHealth:
    """How one channel does.

    Attributes:
        channel: Its name.
        failing_since: First failure since its last success, of an alert that still waits; None while it works.
        last_error: Why it last failed, without secrets.
        refused_at: When it last refused an alert for good, or None.
        refusal: Why.
        problem: Why it cannot even be opened, without secrets, or empty.
    """

    channel: str
    failing_since: datetime | None = None
    last_error: str = ""
    refused_at: datetime | None = None
    refusal: str = ""
    problem: str = ""


def is_dead(health: ChannelHealth, *, now: datetime, config: HealthConfig) -> bool:
    """Return whether a channel has only failed for too long."""
    since = health.failing_since
    return since is not None and now - since >= timedelta(seconds=config.dead_after_seconds)


def channel_results(
    channels: Sequence[ChannelHealth], incidents: Iterable[Incident], *, now: datetime, config: HealthConfig
) -> list[CheckResult]:
    """Return three results a channel: whether it can be opened, whether it is dead, whether it refused an alert.

    Args:
        channels: The configured channels.
        incidents: Open incidents of the channels: what they name and is no longer configured is back in order.
        now: The present.
        config: When a channel is spoken of.
    """
    results = [_opening(one) for one in channels]
    results += [_life(one, now=now, config=config) for one in channels]
    results += [_refusal(one, now=now, config=config) for one in channels]
    known = {figure_of(result) for result in results}
    gone = {figure_of(one): one for incident in incidents for one in incident.results if figure_of(one) not in known}
    return results + [_result(one.figure, Status.OK, "It is no longer configured.") for one in gone.values()]


def _opening(health: ChannelHealth) -> CheckResult:
    figure = f"channel {health.channel} cannot be opened"
    if not health.problem:
        return _result(figure, Status.OK, "")
    cause = "serving: a mistake in the list of channels"
    return _told(figure, Finding(health.problem, cause, "Correct it; the sender reads it again within seconds."))


def _life(health: ChannelHealth, *, now: datetime, config: HealthConfig) -> CheckResult:
    figure = f"channel {health.channel} is dead"
    if health.failing_since is None or not is_dead(health, now=now, config=config):
        return _result(figure, Status.OK, "")
    seen = (
        f"Nothing was delivered through {health.channel} since {health.failing_since:%Y-%m-%d %H:%M:%S} UTC: "
        f"{health.last_error}. Its alerts wait and are sent when it answers again."
    )
    cause = "serving: the far end is down, or its address or secret is wrong"
    return _told(figure, Finding(seen, cause, "Try it with `everfeed alerts test`."), since=health.failing_since)


def _refusal(health: ChannelHealth, *, now: datetime, config: HealthConfig) -> CheckResult:
    figure = f"channel {health.channel} refused an alert"
    if health.refused_at is None or now - health.refused_at >= timedelta(seconds=config.refused_seconds):
        return _result(figure, Status.OK, "")
    seen = (
        f"An alert was refused for good by {health.channel} at {health.refused_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{health.refusal}."
    )
    cause = "serving: the far end does not accept this kind of message"
    action = "Read the alert with `everfeed alerts show`, and correct the channel's options."
    return _told(figure, Finding(seen, cause, action), since=health.refused_at)


def _result(figure: str, status: Status, message: str) -> CheckResult:
    return CheckResult(figure, DELIVERY_FAMILY, status, message=message)


def _told(figure: str, finding: Finding, *, since: datetime | None = None) -> CheckResult:
    return CheckResult(figure, DELIVERY_FAMILY, Status.DRIFT, since=since, message=finding.sentences(), finding=finding)
