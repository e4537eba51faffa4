"""A home backed up while it is written to, and restored elsewhere: the same, object by object."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest

from infra.backups import back_up, restore
from infra.database import open_database
from infra.event_records import ServedRequest, user_key
from infra.events import EventStore
from infra.histories import HistoryEvent, HistoryStore
from infra.lake import Lake
from infra.model_registry import ModelRegistry, Registered
from infra.serving.app import create_app
from infra.settings import Settings
from infra.tracking import Tracker
from recmodels.data import schema
from recmodels.manifest import verify
from tests.infra.gateway_home import TOKEN, Home, serve

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MODEL = "everfeed"
READER = "somebody"


@pytest.fixture
def settings(sqlite_template: Path, mlflow_template: Path, tmp_path: Path) -> Settings:
    """A home with every store of a real one: two models on their way, runs, a lake, reports, secrets."""
    settings = Settings(home=tmp_path / "a home")
    root = settings.root
    root.mkdir()
    shutil.copy(sqlite_template, root / "everfeed.db")
    shutil.copy(mlflow_template, root / "mlflow.db")
    fill(settings)
    return settings


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


def rows_of(database: Path) -> dict[str, list[Any]]:
    """Return every row of every table."""
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr) for name in names}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_naming(folder: Path, words: str) -> list[str]:
    """Return the files that hold a text, as a path or as a URL has it."""
    found = contents(folder).items()
    return [path for path, content in found if words.encode() in content or quote(words).encode() in content]


@dataclass(frozen=True)
class Registry:
    """What MLflow holds: the run of each bundle, versions with their digests, aliases, a figure of each run."""

    runs: dict[str, str]
    versions: list[Registered]
    aliases: dict[str, int]
    figures: dict[str, dict[str, float]]


def registry_of(settings: Settings) -> Registry:
    tracker = Tracker(settings.mlflow, artifacts=settings.artifacts)
    registry = ModelRegistry(settings.mlflow, MODEL)
    runs = {run.tags["bundle"]: run.run_id for run in tracker.tagged("bundle", "")}
    figures = {run: dict(tracker.client.get_run(run).data.metrics) for run in runs.values()}
    return Registry(runs, registry.versions(), registry.aliases(), figures)


def elsewhere(settings: Settings) -> Settings:
    return Settings(home=settings.root.parent / "another machine" / ".everfeed")


def lists_of(settings: Settings) -> Any:
    """Return what the gateway of a home answers to somebody with a history, and to a stranger."""
    database = open_database(settings.database)
    app = create_app(database, bundles=settings.bundles, token=TOKEN, user_secret=settings.user_secret())
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answers = [client.post("/v1/recommend", json={"user": user, "k": 5}).json() for user in (READER, "stranger")]
    database.close()
    return [[(item["item_id"], item["score"]) for item in answer["items"]] for answer in answers]


def test_restored_home_is_the_same_object_by_object(settings: Settings, tmp_path: Path) -> None:
    made = back_up(settings, tmp_path / "backups", now=NOW)
    target = elsewhere(settings)
    before = rows_of(settings.root / "everfeed.db")
    restored = restore(target, tmp_path / "backups", now=LATER)
    assert made.manifest == restored.manifest
    assert rows_of(target.root / "everfeed.db") == before
    assert len(before["requests"]) == 20
    assert contents(target.bundles) == contents(settings.bundles)
    for digest in (path.name for path in target.bundles.iterdir()):
        verify(target.bundles, digest)
    for version in (0, 1):
        read = [Lake(one.lake).read("interactions", version=version) for one in (settings, target)]
        assert read[0].equals(read[1])
        assert read[0]["event_id"].to_pylist() == [f"e{version}"]
    assert contents(target.reports) == contents(settings.reports)
    assert (target.token(), target.user_secret()) == (settings.token(), settings.user_secret())
    assert (target.root / "secrets" / "write_token").stat().st_mode & 0o777 == 0o600
    assert (target.root / "everfeed.db").stat().st_mode & 0o077 == 0
    assert not target.logs.exists()
    assert restored.manifest.left_out["logs"]


def test_gateway_of_the_restored_home_answers_the_same_lists(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backups", now=NOW)
    before = lists_of(settings)
    shutil.rmtree(settings.root)
    restore(elsewhere(settings), tmp_path / "backups", now=LATER)
    assert lists_of(elsewhere(settings)) == before
    assert before[0] != before[1]


def test_mlflow_of_the_restored_home_finds_everything_in_the_new_place(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "backups", now=NOW)
    before = registry_of(settings)
    shutil.rmtree(settings.root)
    target = elsewhere(settings)
    restored = restore(target, tmp_path / "backups", now=LATER)
    assert registry_of(target) == before
    assert before.aliases == {"champion": 1, "challenger": 2}
    for digest, run in before.runs.items():
        tracker = Tracker(target.mlflow, artifacts=target.artifacts)
        kept = tracker.fetch(run, "bundle", to=tmp_path)
        assert contents(kept) == contents(target.bundles / digest)
        notes = json.loads((target.runs / digest[:8] / "measured.json").read_text())
        assert notes == {"run_id": run, "evaluation": str(target.runs / digest[:8] / "evaluation")}
    assert restored.relocated["mlflow.db"] >= 3  # the experiment's place, and each run's
    assert not [path for path in files_naming(target.root, str(settings.root)) if path != "everfeed.db"]
