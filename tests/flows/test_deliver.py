"""Alerts on their way: a channel that fails is tried again with the same key, and holds up no other."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep

import pytest

from flows.channels import ChannelChoice, default_channels, log_channel, webhook_channel
from flows.deliver import deliver
from flows.webhook import receiving
from flows.wiring import Platform, connect
from infra.outbox import AlertRecord
from infra.settings import Settings
from monitoring.alerts.alert import Alert, ChannelError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Endpoint:
    """A webhook that answers with the given codes in turn, and with 204 after them."""

    def __init__(self, url: str, codes: list[int]) -> None:
        self.url = url
        self.codes = codes
        self.received: list[tuple[str, str, int]] = []
        """Key, transition and answer of each post."""


@contextmanager
def _endpoint(*codes: int) -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code = endpoint.codes.pop(0) if endpoint.codes else 204
            endpoint.received.append((self.headers["Idempotency-Key"], body["transition"], code))
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/hook", list(codes))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield endpoint
        finally:
            server.shutdown()


@pytest.fixture
def platform(home: Settings) -> Platform:
    return connect(home)


def _record(platform: Platform, channels: dict[str, ChannelChoice], *transitions: str) -> None:
    alerts = [
        Alert(f"drift-{name}", "drift", name, name, "ctr fell", "warning", "ctr", -9.0, NOW, NOW)
        for name in transitions
    ]
    records = [AlertRecord(alert.key, alert.incident_id, alert.document()) for alert in alerts]  # type: ignore[arg-type]
    platform.outbox.record([], records, channels=list(channels), now=NOW)


def _logged(platform: Platform) -> list[str]:
    lines = (platform.settings.reports / "alerts.jsonl").read_text().splitlines()
    return [json.loads(line)["key"] for line in lines]


def test_alert_is_posted_again_with_its_key_when_the_endpoint_failed(platform: Platform) -> None:
    with _endpoint(503) as endpoint:
        channels = log_channel(platform.settings) | webhook_channel(endpoint.url)
        _record(platform, channels, "opened")
        assert deliver(channels) == ("log",)
        assert [code for _, _, code in endpoint.received] == [503]
        state = {channel.channel: channel for channel in platform.outbox.channels()}
        assert (state["webhook"].pending, state["log"].pending) == (1, 0)
        sleep(1.1)  # the first wait is at most a second
        assert deliver(channels) == ("webhook",)
    assert endpoint.received == [("drift-opened", "opened", 503), ("drift-opened", "opened", 204)]
    assert _logged(platform) == ["drift-opened"]


def test_nothing_is_sent_twice_when_everything_was_delivered(platform: Platform) -> None:
    with _endpoint() as endpoint:
        channels = log_channel(platform.settings) | webhook_channel(endpoint.url)
        _record(platform, channels, "opened")
        assert deliver(channels) == ("log", "webhook")
        assert deliver(channels) == ()
    assert len(endpoint.received) == len(_logged(platform)) == 1


def test_alerts_arrive_in_order_when_they_are_of_one_incident(platform: Platform) -> None:
    with _endpoint() as endpoint:
        channels = webhook_channel(endpoint.url)
        _record(platform, channels, "opened", "updated", "resolved")
        assert deliver(channels) == ("webhook",)
    assert [transition for _, transition, _ in endpoint.received] == ["opened", "updated", "resolved"]


def test_later_alerts_wait_when_an_earlier_one_of_the_incident_failed(platform: Platform) -> None:
    with _endpoint(503) as endpoint:
        channels = webhook_channel(endpoint.url)
        _record(platform, channels, "opened", "resolved")
        assert deliver(channels) == ()
        assert [transition for _, transition, _ in endpoint.received] == ["opened"]


def test_later_alerts_go_out_when_an_earlier_one_was_refused_for_good(platform: Platform) -> None:
    with _endpoint(400) as endpoint:
        channels = webhook_channel(endpoint.url)
        _record(platform, channels, "opened", "resolved")
        assert deliver(channels) == ("webhook",)
    assert [(transition, code) for _, transition, code in endpoint.received] == [("opened", 400), ("resolved", 204)]
    refused = platform.outbox.deliveries(key="drift-opened")
    assert [(delivery.is_refused, "400" in delivery.last_error) for delivery in refused] == [(True, True)]


def test_an_alert_waits_when_its_endpoint_is_not_there(platform: Platform) -> None:
    with _endpoint() as endpoint:
        channels = log_channel(platform.settings) | webhook_channel(endpoint.url)
    _record(platform, channels, "opened")
    assert deliver(channels) == ("log",)
    waiting = next(d for d in platform.outbox.deliveries() if d.channel == "webhook")
    assert (waiting.attempts, waiting.delivered_at) == (1, None)
    assert "cannot be reached" in waiting.last_error


def test_alerts_are_kept_when_their_channel_is_not_among_those_opened(platform: Platform) -> None:
    channels = log_channel(platform.settings) | webhook_channel("http://127.0.0.1:9/hook", name="elsewhere")
    _record(platform, channels, "opened")
    assert deliver(log_channel(platform.settings)) == ("log",)
    assert [d.attempts for d in platform.outbox.deliveries() if d.channel == "elsewhere"] == [0]


def test_the_demo_endpoint_keeps_an_alert_once_when_it_comes_twice(platform: Platform) -> None:
    path = platform.settings.reports / "received.jsonl"
    with receiving(path) as receiver:
        channels = webhook_channel(receiver.url) | webhook_channel(receiver.url, name="again")
        _record(platform, channels, "opened")
        assert deliver(channels) == ("again", "webhook")
        assert receiver.received == 1
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["drift-opened"]


def test_webhook_is_among_the_channels_when_the_settings_name_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(default_channels(platform.settings)) == ["log"]
    monkeypatch.setenv("EVERFEED_WEBHOOK_URL", "http://127.0.0.1:9/hook")
    assert list(default_channels(Settings())) == ["log", "webhook"]


def test_secret_is_refused_and_nothing_is_sent_when_it_stands_in_the_parameter(platform: Platform) -> None:
    with _endpoint() as endpoint:
        channels = webhook_channel(endpoint.url)
        options = {**channels["webhook"].options, "token": "s3cret"}
        _record(platform, channels, "opened")
        with pytest.raises(ChannelError, match="a secret stands in a flow parameter"):
            deliver({"webhook": ChannelChoice(name="webhook", options=options)})
        assert endpoint.received == []
        platform.settings.keep_secret("hook_token", "s3cret")
        assert deliver({"webhook": ChannelChoice(name="webhook", options={**options, "token": "secret:hook_token"})})
    assert len(endpoint.received) == 1


def test_refused_alert_is_told_of_through_the_log(platform: Platform) -> None:
    with _endpoint(400) as endpoint:
        channels = log_channel(platform.settings) | webhook_channel(endpoint.url)
        _record(platform, channels, "opened")
        deliver(channels)
        deliver(channels)
    assert [key.split("-", 1)[1] for key in _logged(platform)] == ["opened", "1-opened"]
    lines = (platform.settings.reports / "alerts.jsonl").read_text()
    assert "channel webhook refused an alert" in lines
