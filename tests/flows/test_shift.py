import json
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.channels import log_channel, webhook_channel
from flows.lifecycle import Data
from flows.monitor import monitor
from flows.references import Monitored, Snapshot
from flows.shift import shift_traffic
from flows.webhook import receiving
from flows.wiring import connect
from infra.settings import Settings
from recmodels.data.schema import ORIGIN, TIMESTAMP
from tests.flows.homes import at_home, ingested


@pytest.fixture(scope="module")
def films(server: Settings, mlflow_template: Path, ml_100k_wheel: Path, tmp_path_factory: pytest.TempPathFactory):
    """A home that holds the real ML-100K, ingested and validated, with its snapshot."""
    with at_home(tmp_path_factory.mktemp("films"), server, mlflow=mlflow_template) as settings:
        yield settings, ingested(Data(source="movielens", path=ml_100k_wheel))


@pytest.fixture(scope="module")
def shifted(films: tuple[Settings, Snapshot]) -> tuple[Monitored, list[dict], list[dict]]:
    """What the monitor finds in the demo's shift, what a webhook received, and what the log holds."""
    settings, snapshot = films
    with receiving(settings.reports / "webhook.jsonl") as receiver:
        channels = log_channel(settings) | webhook_channel(receiver.url)
        found = monitor(extra=shift_traffic(connect(settings), snapshot), channels=channels)
    received = [json.loads(line) for line in (settings.reports / "webhook.jsonl").read_text().splitlines()]
    logged = [json.loads(line) for line in (settings.reports / "alerts.jsonl").read_text().splitlines()]
    return found, received, logged


def test_real_days_as_they_are_open_no_incident(films):
    found = monitor()
    assert found.drifted == ()
    assert found.opened == ()
    assert found.action == "ok"
    assert found.figures - found.learning - found.insufficient >= 15


def test_replayed_days_follow_the_real_ones_and_never_enter_the_lake(films):
    settings, snapshot = films
    lake = connect(settings).lake
    before = lake.version("interactions")
    rows = pq.read_table(shift_traffic(connect(settings), snapshot))
    assert pc.unique(rows[ORIGIN]).to_pylist() == ["replay"]
    assert pc.min(rows[TIMESTAMP]).as_py() >= snapshot.as_of
    assert pc.max(rows[TIMESTAMP]).as_py() == snapshot.as_of + timedelta(days=7)
    assert lake.version("interactions") == before


def test_shift_is_found_with_its_first_day_when_events_fall_on_one_item(films, shifted):
    _, snapshot = films
    found, _, _ = shifted
    assert "item_concentration" in found.drifted
    assert found.size is not None
    assert found.size > 5
    assert found.since is not None
    assert timedelta(0) <= found.since - snapshot.as_of <= timedelta(days=2)
    assert found.action in {"alert", "retrain"}


def test_alert_reaches_the_webhook_and_the_log_with_the_same_key(shifted):
    found, received, logged = shifted
    assert found.delivered == ("log", "webhook")
    assert [alert["key"] for alert in received] == [alert["key"] for alert in logged]
    assert {alert["figure"].partition("[")[0] for alert in received} <= set(found.drifted)
    assert any("chance that two events share their item" in alert["text"] for alert in received)


def test_report_is_drawn_and_asks_nothing_from_outside(shifted):
    found, _, _ = shifted
    text = found.report.read_text()
    assert len(text) > 100_000
    assert 'src="http' not in text
