"""What every alert channel must do: refuse unknown options, fail as a DeliveryError, be retried with the same key."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from monitoring.alerts import CHANNELS, Alert, Channel, ChannelError, open_channel
from monitoring.alerts.delivery import Outcome, Pending, RetryConfig, attempt, retry_at, sendable
from recmodels.errors import UnknownNameError
from tests.monitoring.alerts.sink import RESET, listening

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass(frozen=True)
class Ends:
    """The far end of a channel: how to open it, to let it fail and work again, and what arrived."""

    channel: Channel
    recover: Callable[[], None]
    keys: Callable[[], list[str]]
    failures: int


@contextmanager
def _webhook(_: Path) -> Iterator[Ends]:
    with listening(503, 429, RESET) as sink:
        channel = open_channel("webhook", {"url": sink.url, "timeout_seconds": 2})
        yield Ends(channel, lambda: None, lambda: sink.keys()[3:], failures=3)


@contextmanager
def _log(folder: Path) -> Iterator[Ends]:
    path = folder / "alerts.jsonl"
    path.mkdir()
    channel = open_channel("log", {"path": path})
    yield Ends(channel, path.rmdir, lambda: [json.loads(line)["key"] for line in path.read_text().splitlines()], 1)


ENDS: dict[str, Callable[[Path], AbstractContextManager[Ends]]] = {"log": _log, "webhook": _webhook}


def alert(number: int) -> Alert:
    return Alert(f"incident-{number}-updated", "incident", "updated", "t", "t", "info", "x", 1.0, NOW, NOW)


@pytest.fixture(params=CHANNELS.names())
def ends(request, tmp_path) -> Iterator[Ends]:
    assert request.param in ENDS, f"write the far end of channel {request.param!r} into this file"
    with ENDS[request.param](tmp_path) as opened:
        yield opened


def test_failed_alert_is_retried_with_the_same_key_and_in_order(ends):
    waiting = [Pending(alert(n), "c", n, NOW) for n in range(3)]
    rng, config, now, failures = np.random.default_rng(0), RetryConfig(), NOW, 0
    while waiting:
        for one in sendable(waiting, now=now):
            waiting.remove(one)
            result = attempt(one.alert, ends.channel)
            if result.outcome is Outcome.DELIVERED:
                continue
            failures += 1
            assert result.outcome is Outcome.RETRY
            assert result.reason
            if failures == ends.failures:
                ends.recover()
            at = retry_at(one.attempts + 1, now=now, config=config, rng=rng)
            waiting.append(Pending(one.alert, one.channel, one.position, at, one.attempts + 1))
        now += timedelta(seconds=1)
    assert failures == ends.failures
    assert ends.keys() == [alert(n).key for n in range(3)]


@pytest.mark.parametrize("name", CHANNELS.names())
def test_unknown_option_is_refused_with_the_known_ones(name):
    with pytest.raises(ChannelError, match=rf"alert channel '{name}'.*Known options: "):
        open_channel(name, {"no_such_option": 1})


def test_unknown_channel_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"alert channel 'webhok'.*'webhook'.*Known: log, webhook"):
        open_channel("webhok", {})
