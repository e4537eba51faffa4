"""What every alert channel must do: refuse unknown options, fail as a DeliveryError, be retried with the same key."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from monitoring.alerts import CHANNELS, Alert, Channel, ChannelError, open_channel
from monitoring.alerts.channels import secret_options
from monitoring.alerts.delivery import Outcome, attempt
from recmodels.errors import UnknownNameError
from tests.monitoring.alerts.mailbox import CUT, receiving
from tests.monitoring.alerts.sink import RESET, listening

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's own import

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass(frozen=True)
class Ends:
    """The far end of a channel: how to open it, to let it fail and work again, and what arrived."""

    channel: Channel
    recover: Callable[[], None]
    keys: Callable[[], list[str]]
    failures: int


@contextmanager
def _posting(_: Path, name: str, **options: object) -> Iterator[Ends]:
    """A channel that posts to a sink, which is busy, asks for patience and resets before it takes anything."""
    with listening(503, 429, RESET, headers={"Retry-After": "1"}) as sink:
        channel = open_channel(name, {"url": sink.url, "timeout_seconds": 2, **options})
        yield Ends(channel, lambda: None, lambda: sink.keys()[3:], failures=3)


@contextmanager
def _log(folder: Path) -> Iterator[Ends]:
    path = folder / "alerts.jsonl"
    path.mkdir()
    channel = open_channel("log", {"path": path})
    yield Ends(channel, path.rmdir, lambda: [json.loads(line)["key"] for line in path.read_text().splitlines()], 1)


@contextmanager
def _email(_: Path) -> Iterator[Ends]:
    with receiving("451 later", CUT) as mailbox:
        options = {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "timeout_seconds": 2}
        channel = open_channel("email", {**options, "sender": "a@b.c", "recipients": ["d@e.f"]})
        yield Ends(channel, lambda: None, mailbox.keys, failures=2)


@contextmanager
def _apprise(_: Path) -> Iterator[Ends]:
    """Apprise sends no key: the alert's title tells them apart here."""
    pytest.importorskip("apprise", reason="the optional extra apprise is not installed")
    with listening(500, RESET) as sink:
        channel = open_channel("apprise", {"url": sink.url.replace("http://", "json://")})

        def keys() -> list[str]:
            return [json.loads(body)["title"] for _, body in sink.requests[2:]]

        yield Ends(channel, lambda: None, keys, failures=2)


ENDS: dict[str, Callable[[Path], AbstractContextManager[Ends]]] = {
    "apprise": _apprise,
    "email": _email,
    "log": _log,
    "pagerduty": partial(_posting, name="pagerduty", routing_key="k"),
    "slack": partial(_posting, name="slack"),
    "webhook": partial(_posting, name="webhook"),
}
SECRETS = {
    "apprise": {"url"},
    "email": {"password"},
    "log": set(),
    "pagerduty": {"routing_key"},
    "slack": {"url"},
    "webhook": {"token", "signing_key"},
}


def alert(number: int) -> Alert:
    key = f"incident-{number}-updated"
    return Alert(key, "incident", "updated", key, "t", "info", "x", 1.0, NOW, NOW)


@pytest.fixture(params=CHANNELS.names())
def ends(request, tmp_path) -> Iterator[Ends]:
    assert request.param in ENDS, f"write the far end of channel {request.param!r} into this file"
    with ENDS[request.param](tmp_path) as opened:
        yield opened


def test_failed_alert_is_retried_with_the_same_key_and_in_order(ends):
    failures = 0
    for number in range(3):
        while (result := attempt(alert(number), ends.channel)).outcome is not Outcome.DELIVERED:
            failures += 1
            assert result.outcome is Outcome.RETRY
            assert result.reason
            if failures == ends.failures:
                ends.recover()
    assert failures == ends.failures
    assert ends.keys() == [alert(n).key for n in range(3)]


@pytest.mark.parametrize("name", CHANNELS.names())
def test_secrets_of_every_channel_are_known_as_such(name):
    assert secret_options(name) == SECRETS[name]


@pytest.mark.parametrize("name", CHANNELS.names())
def test_unknown_option_is_refused_with_the_known_ones(name):
    with pytest.raises(ChannelError, match=rf"alert channel '{name}'.*Known options: "):
        open_channel(name, {"no_such_option": 1})


def test_unknown_channel_is_answered_with_the_known_ones():
    with pytest.raises(
        UnknownNameError,
        match=r"alert channel 'webhok'.*'webhook'.*Known: apprise, email, log, pagerduty, slack, webhook",
    ):
        open_channel("webhok", {})
