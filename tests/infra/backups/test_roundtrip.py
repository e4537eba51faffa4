"""A home backed up while it is written to, and restored elsewhere: the same, object by object."""

import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from infra.backups import back_up, restore
from infra.database import open_database
from infra.events import EventStore
from infra.lake import Lake
from infra.model_registry import ModelRegistry, Registered
from infra.serving.app import create_app
from infra.settings import Settings
from infra.tracking import Tracker
from recmodels.manifest import verify
from tests.infra.backups.filled import LATER, MODEL, NOW, READER, contents, elsewhere, request_of, size_of
from tests.infra.gateway_home import TOKEN, serve


def rows_of(database: Path) -> dict[str, list[Any]]:
    """Return every row of every table."""
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr) for name in names}


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


def test_no_event_is_lost_or_doubled_when_backups_are_made_while_events_are_written_and_moved(
    settings: Settings, tmp_path: Path
) -> None:
    """Events go from the database to the lake while backups are made; each backup has all up to its moment, once."""
    ended, target = threading.Event(), elsewhere(settings)
    written: list[str] = []

    def write_and_move() -> None:
        database, lake = open_database(settings.database), Lake(settings.lake)
        store, number = EventStore(database), 1000
        while not ended.is_set() or number < 1040:
            store.append_requests([request_of(number, "k")])
            written.append(f"q{number}")
            number += 1
            if number % 5 == 0:
                move(store, lake)
        database.close()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_and_move)
        try:
            for number in range(3):
                least = len(written)
                back_up(settings, tmp_path / "backups", now=NOW + timedelta(seconds=number))
                most = len(written) + 1  # one may be durable and not yet noted here
                restore(target, tmp_path / "backups", now=LATER + timedelta(seconds=number), is_forced=True)
                found = sorted(lived_on(target))
                assert found[-1] == 9999
                assert found[:-1] == [*range(20), *range(1000, 1000 + len(found) - 21)]
                assert least <= len(found) - 21 <= most
        finally:
            ended.set()
        writing.result()


def lived_on(settings: Settings) -> set[int]:
    """Return the requests in the lake after a restored home moved what waited, and one more that came then."""
    database, lake = open_database(settings.database), Lake(settings.lake)
    store = EventStore(database)
    move(store, lake)
    store.append_requests([request_of(9999, "k")])
    move(store, lake)
    database.close()
    rows = lake.read("impressions")["request_id"].to_pylist()
    assert len(rows) == 2 * len(set(rows))  # two items a request
    return {int(name[1:]) for name in rows}


def move(store: EventStore, lake: Lake) -> None:
    """Move waiting events to the lake, as the flow does that collects them."""
    drained = store.drain(before=NOW + timedelta(days=9))
    if not drained.is_empty:
        lake.append("impressions", drained.impressions, key=f"events-{drained.batch}")
        store.forget(drained)


def test_second_backup_adds_what_is_new_alone_and_the_first_stays(settings: Settings, tmp_path: Path) -> None:
    first = back_up(settings, tmp_path / "backups", now=NOW)
    before = size_of(tmp_path / "backups" / "objects")
    (settings.reports / "new.html").write_text("new" * 1000)
    second = back_up(settings, tmp_path / "backups", now=LATER)
    assert second.written == 3000
    assert size_of(tmp_path / "backups" / "objects") == before + 3000
    copies = size_of(settings.bundles)  # MLflow's artifacts hold each bundle again
    assert first.manifest.size - before >= copies
    restored = restore(elsewhere(settings), tmp_path / "backups", at=first.manifest.name, now=LATER)
    assert restored.manifest == first.manifest
    assert not (elsewhere(settings).reports / "new.html").exists()
