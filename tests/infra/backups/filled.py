"""A home with every store of a real one, for tests of backups."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from infra.database import open_database
from infra.event_records import ServedRequest, user_key
from infra.events import EventStore
from infra.histories import HistoryEvent, HistoryStore
from infra.lake import Lake
from infra.model_registry import ModelRegistry
from infra.settings import Settings
from infra.tracking import Tracker
from recmodels.data import schema
from tests.infra.gateway_home import Home

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MODEL = "everfeed"
READER = "somebody"


def fill(settings: Settings) -> None:
    root = settings.root
    database = open_database(settings.database)
    home = Home(root, database)
    champion, challenger = home.crown(), home.challenge()
    settings.token()
    key = user_key(READER, settings.user_secret())
    HistoryStore(database).append([HistoryEvent(key, "film-07", NOW, "video")])
    EventStore(database).append_requests([request_of(number, key) for number in range(20)])
    database.close()
    tracker = Tracker(settings.mlflow, artifacts=settings.artifacts)
    registry = ModelRegistry(settings.mlflow, MODEL)
    for model, recipe in ((champion, "next"), (challenger, "constant")):
        run = tracker.lifecycle_run(model.digest, name=recipe, tags={"bundle": model.digest})
        tracker.log_metrics(run, {"ndcg_at_10": 0.25})
        tracker.log_folder(run, settings.bundles / model.digest, folder="bundle")
        registry.register(model.digest, run_id=run, source=f"runs:/{run}/bundle", tags={"recipe": recipe})
        notes = settings.runs / model.digest[:8]
        notes.mkdir(parents=True)
        (notes / "measured.json").write_text(json.dumps({"run_id": run, "evaluation": str(notes / "evaluation")}))
    registry.reconcile(1, 2)
    lake = Lake(settings.lake)
    for version in range(2):
        lake.write_window("interactions", interactions(version), start=NOW, end=NOW + timedelta(days=1))
    (settings.reports / "drift").mkdir(parents=True)
    (settings.reports / "drift" / "report.html").write_text("<p>drift</p>")
    (settings.logs).mkdir()
    (settings.logs / "gateway.log").write_text("a line")


def request_of(number: int, key: str) -> ServedRequest:
    return ServedRequest(
        request_id=f"q{number}",
        timestamp=NOW + timedelta(seconds=number),
        user_key=key,
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=("film-01", "film-02"),
        scores=(2.0, 1.0),
        propensities=(1.0, 1.0),
        num_requested=2,
        latency_seconds=0.01,
    )


def interactions(version: int) -> pa.Table:
    row = {"event_id": f"e{version}", "user_id": "u", "item_id": "i", "timestamp": NOW, "surface": "video"}
    return pa.Table.from_pylist([{**row, "origin": "event"}], schema=schema.INTERACTIONS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def elsewhere(settings: Settings) -> Settings:
    return Settings(home=settings.root.parent / "another machine" / ".everfeed")
