"""The sender as a process: it sends at once, follows the channels' file, survives a kill, and stops cleanly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.alert_sinks import Sink, http_sink
from infra.database import Database, open_database
from infra.outbox import AlertRecord, Outbox
from infra.settings import Settings
from monitoring.alerts.alert import Alert
from tests.flows.homes import ROOT

PATIENCE_SECONDS = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty home."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = open_database(settings.database)
    yield opened
    opened.close()


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start senders that are gone when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        environment = {**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            (sys.executable, "-m", "flows.sender"), env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def choose(settings: Settings, sink: Sink, *, name: str = "hook") -> None:
    options = {"url": sink.url, "timeout_seconds": 1}
    settings.channels_file.write_text(json.dumps({name: {"name": "webhook", "options": options}}))


def tell(database: Database, *keys: str, channel: str = "hook") -> None:
    now = datetime.now(UTC)
    alerts = [Alert(key, key.split("-")[0], "opened", "t", "t", "info", "x", None, None, now) for key in keys]
    records = [AlertRecord(one.key, one.incident_id, one.document()) for one in alerts]
    Outbox(database).record([], records, channels=[channel], now=now)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_alert_is_sent_at_once_and_the_process_stops_cleanly_when_it_is_told_to(settings, database, start):
    with http_sink() as sink:
        choose(settings, sink)
        tell(database, "i1-1")
        process = start()
        wait_for(lambda: sink.taken == ["i1-1"])
        tell(database, "i1-2")
        began = time.monotonic()
        wait_for(lambda: sink.taken == ["i1-1", "i1-2"])
        assert time.monotonic() - began < 5
        with http_sink() as other:
            choose(settings, other, name="other")
            tell(database, "i2-1", channel="other")
            wait_for(lambda: other.taken == ["i2-1"])
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=20)
    assert process.returncode == 0, words
    assert "channels: log, other" in words
    assert "Traceback" not in words


def test_what_a_killed_sender_had_under_way_is_sent_at_once_by_the_next(settings, database, start):
    with http_sink(seconds=0.5) as sink:
        choose(settings, sink)
        tell(database, "i1-1", "i2-1")
        first = start()
        wait_for(lambda: bool(sink.taken))
        first.kill()
        first.wait()
        assert any(one.lease for one in Outbox(database).deliveries())
        start()
        wait_for(lambda: Outbox(database).channels()[0].pending == 0)
    assert set(sink.taken) == {"i1-1", "i2-1"}
    assert sink.taken.count("i1-1") <= 2


def test_channel_that_cannot_be_opened_holds_up_no_other_and_is_told_of(settings, database, start):
    with http_sink() as sink:
        settings.channels_file.write_text(
            json.dumps({"hook": {"name": "webhook", "options": {"url": sink.url}}, "ops": {"name": "slak"}})
        )
        tell(database, "i1-1")
        start()
        log = settings.reports / "alerts.jsonl"
        wait_for(lambda: len(sink.taken) == 2 and log.exists() and log.read_text().endswith("\n"))
    assert sink.taken[0] == "i1-1"
    assert "channel ops cannot be opened" in log.read_text()
    assert "Did you mean 'slack'" in log.read_text()
