"""What `everfeed alerts` does: acknowledge, silence, and try the channels. It imports no Prefect."""

import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta

from flows.alert_board import IncidentLine, line_of, opened_outbox
from flows.channels import ChannelChoice, channel_names, default_channels, open_channels
from flows.clock import utc_now
from flows.incidents import acknowledge_incident, find_incident
from infra.outbox import SilenceRecord
from infra.settings import Settings
from monitoring.alerts.alert import Alert, ChannelError
from monitoring.alerts.delivery import Outcome, attempt
from monitoring.incidents import IncidentError

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
FAMILIES = ("data", "population", "catalogue", "model", "serving", "delivery", "retraining")


@dataclass(frozen=True)
class Trial:
    """What one channel said to the test alert: an empty reason where it took it."""

    channel: str
    plugin: str
    is_delivered: bool
    reason: str
    seconds: float


def acknowledge(settings: Settings, start: str, *, by: str, note: str) -> IncidentLine:
    """Take care of the incident whose id begins with `start`.

    Raises:
        IncidentError: There is not one such incident, or it is resolved.
    """
    with opened_outbox(settings) as outbox:
        channels = channel_names(settings, earlier=[state.channel for state in outbox.channels()])
        found = find_incident(outbox, start)
        taken = acknowledge_incident(
            outbox,
            found.incident_id,
            by=by,
            note=note,
            channels=channels,
            settings=settings,
            clock=utc_now,
        )
    return line_of(taken, (), now=utc_now())


def add_silence(settings: Settings, *, model: str, family: str, length: str, reason: str, by: str) -> SilenceRecord:
    """Tell nobody about a group for a time.

    Raises:
        IncidentError: The family is not known, or the length is none.
    """
    now = utc_now()
    silence = SilenceRecord(model, _family(family), now + _length(length), reason, by, now)
    with opened_outbox(settings) as outbox:
        outbox.silence(silence)
    return silence


def end_silence(settings: Settings, *, model: str, family: str) -> int:
    """End the silences of exactly this group, and return how many there were.

    Raises:
        IncidentError: The family is not known.
    """
    with opened_outbox(settings) as outbox:
        return outbox.unsilence(model, _family(family), now=utc_now())


def try_channels(settings: Settings, channel: str) -> list[Trial]:
    """Send a test incident, opened and resolved, past the outbox, so that nothing of it stays open anywhere.

    Raises:
        ChannelError: There is no such channel, or one cannot be opened.
    """
    choices = default_channels(settings)
    if channel and channel not in choices:
        raise ChannelError(f"there is no channel {channel!r}. Configured: {', '.join(choices)}.")
    wanted = {name: choice for name, choice in choices.items() if channel in {"", name}}
    return [_try(settings, name, choice) for name, choice in wanted.items()]


def _try(settings: Settings, name: str, choice: ChannelChoice) -> Trial:
    began = time.monotonic()
    try:
        channel = open_channels(settings, {name: choice})[name]
    except ChannelError as error:
        return Trial(name, choice.name, is_delivered=False, reason=str(error), seconds=0.0)
    token, now = secrets.token_hex(4), utc_now()
    for transition in ("opened", "resolved"):
        alert = Alert(
            key=f"test-{token}-{transition}",
            incident_id=f"test-{token}",
            transition=transition,
            title=f"Test {transition}: nothing is wrong",
            text="Somebody typed `everfeed alerts test`.",
            severity="info",
            figure="",
            size=None,
            since=now,
            created_at=now,
            subject="test",
            link=settings.console_url,
            action="Nothing: this channel works.",
        )
        result = attempt(alert, channel)
        if result.outcome is not Outcome.DELIVERED:
            return Trial(name, choice.name, is_delivered=False, reason=result.reason, seconds=time.monotonic() - began)
    return Trial(name, choice.name, is_delivered=True, reason="", seconds=time.monotonic() - began)


def _family(text: str) -> str:
    if text not in {"all", *FAMILIES}:
        raise IncidentError(f"family {text!r} is not known. Known: {', '.join(FAMILIES)}, or all.")
    return "" if text == "all" else text


def _length(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,4})([mhd])", text.strip())
    if match is None or not int(match[1]):
        raise IncidentError(f"{text!r} is no length of a silence. Write minutes, hours or days: 30m, 2h, 3d.")
    return int(match[1]) * _UNITS[match[2]]
