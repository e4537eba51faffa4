"""Everything that a caller can get wrong: a message with what, where, expected and what to do; exit code 2; no loss."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest
from flows.lifecycle import Data
from flows.validate import validate
from flows.wiring import connect
from infra.database import open_database
from infra.processes import hold_lock
from infra.serving.app import create_app
from infra.settings import Settings
from recmodels.errors import DataError
from tests.flows.commands import Ended, Terminal, choose_free_ports, in_a_process, state_of, write
from tests.flows.homes import ROOT, at_home, ingested
from tests.infra.gateway_home import SECRET, TOKEN, Home, serve

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
WORLD = Data(source="synthetic", path=ROOT, options={"users": 60, "items": 40, "creators": 8, "days": 20})
AGAIN = (
    *("run", "--source", "synthetic", "--path", str(ROOT), "--preset", "popularity"),
    *(text for name, value in WORLD.options.items() for text in ("--option", f"{name}={value}")),
)
"""Runs the lifecycle on the data that `held` holds already."""
HEADER = "user_id,item_id,timestamp\n"


@dataclass(frozen=True)
class Bad:
    """A command that is refused: how its file is made, its arguments, and the words its message must hold."""

    make: Callable[[Path], Path]
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ("--option", "timestamp_unit=s")
    source: str = "table"


def _csv(text: str) -> Callable[[Path], Path]:
    return lambda folder: write(folder / "events.csv", text)


def _truncated(folder: Path) -> Path:
    path = folder / "events.parquet"
    pq.write_table(pa.table({"user_id": ["u1"] * 100, "item_id": ["i1"] * 100, "timestamp": range(100)}), path)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def _without_times(folder: Path) -> Path:
    path = folder / "events.parquet"
    pq.write_table(pa.table({"user_id": ["u1", "u2"], "item_id": ["i1", "i1"], "timestamp": [1.0, np.nan]}), path)
    return path


IN_A_FLOW = {
    "an empty file": Bad(_csv(""), ("source 'table'", "events.csv is empty", "Give a file with at least one row")),
    "a header alone": Bad(_csv(HEADER), ("events.csv", "a header but no row", "at least one interaction"), ()),
    "a truncated Parquet file": Bad(_truncated, ("events.parquet", "not a whole Parquet file", "copy or download")),
    "a missing column": Bad(
        _csv("user_id,timestamp\nu1,5\n"),
        ("events.csv", "'item_id' is missing", "['user_id', 'timestamp']", "map a column"),
    ),
    "a wrong type": Bad(
        _csv(HEADER + "u1,i1,5\nu1,i2,noon\n"),
        ("events.csv", "'timestamp'", "'noon' at data row 2", "a whole number", "Correct the value"),
    ),
    "a broken line": Bad(_csv(HEADER + "u1,i1\n"), ("events.csv", "3 columns separated by ','", "correct the line")),
    "times of an unknown unit": Bad(
        _csv(HEADER + "u1,i1,5\n"), ("events.csv", "'5'", "timestamp_unit=s, ms, us or iso"), ()
    ),
    "NaN times": Bad(
        _without_times,
        ("events.parquet", "'timestamp' holds nan at data row 2", "expected a number", "Correct the value"),
    ),
    "a range without rows": Bad(
        _csv(HEADER + "u1,i1,5\nu1,i2,6\n"),
        ("2030-01-01", "1970-01-01"),
        ("--option", "timestamp_unit=s", "--option", "start=2030-01-01"),
    ),
    "an unknown option": Bad(
        _csv(HEADER),
        ("source 'table'", "'delimiter': is unknown", "got ';'", "timestamp_unit"),
        ("--option", "delimiter=;"),
    ),
    "a wrong option": Bad(_csv(HEADER), ("'timestamp_unit'", "'hours'", "'ms'"), ("--option", "timestamp_unit=hours")),
    "another format": Bad(
        _csv(HEADER + "u1,i1,5\n"),
        ("source 'movielens'", "no ratings file", "u.data", "found: events.csv"),
        (),
        "movielens",
    ),
}
AT_ONCE = {
    "a missing file": Bad(lambda folder: folder / "none.csv", ("none.csv does not exist", "Give the file", "'table'")),
    "an unknown source": Bad(
        _csv(HEADER), ("source 'tabel' is not known", "Did you mean 'table'", "movielens, parts"), (), "tabel"
    ),
    "an unknown preset": Bad(
        _csv(HEADER), ("preset 'bert4rec' is not known", "popularity, item_knn"), ("--preset", "bert4rec")
    ),
    "an unknown field": Bad(
        _csv(HEADER),
        ("trainer.epoch: no such field", "Did you mean 'epochs'", "batch_size"),
        ("--set", "trainer.epoch=3"),
    ),
    "an unknown section": Bad(
        _csv(HEADER), ("'training.epochs=3'", "no section 'training'", "trainer"), ("--set", "training.epochs=3")
    ),
    "a field without a value": Bad(
        _csv(HEADER), ("'trainer.epochs'", "path=value", "trainer.epochs=3"), ("--set", "trainer.epochs")
    ),
    "a value out of range": Bad(
        _csv(HEADER), ("trainer.epochs", "greater than or equal to 1", "got 0"), ("--set", "trainer.epochs=0")
    ),
    "an unknown label": Bad(_csv(HEADER), ("--label 'bought' is not known", "clicked"), ("--label", "bought")),
    "unknown traffic": Bad(_csv(HEADER), ("--traffic 'shadow' is not known", "live, replay"), ("--traffic", "shadow")),
}
RECIPES = {
    "malformed JSON": ('{"name": "mine",', ("mine.json cannot be read", "JSON", "Give a JSON file")),
    "a list": ("[1]", ("Give one JSON object", '{"name": "first"', "got [1]")),
    "an unknown model": ('{"name": "mine", "model": {"name": "sasrek"}}', ("model 'sasrek'", "'sasrec'", "popularity")),
    "an unknown field": (
        '{"name": "mine", "model": {"name": "popularity"}, "trainr": {}}',
        ("trainr: no such field", "Did you mean 'trainer'", "split"),
    ),
    "an unknown field of the model": (
        '{"name": "mine", "model": {"name": "popularity", "config": {"window": 3}}}',
        ("window", "window_days"),
    ),
    "a split of everything": (
        '{"name": "mine", "model": {"name": "popularity"}, "split": {"test_fraction": 0.95}}',
        ("validation_fraction + test_fraction must be below 1", "nothing is left to train on"),
    ),
}


@pytest.fixture(scope="module")
def held(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home that holds data, over which a stack seems to be up: its lock is held, and its Prefect server answers."""
    with at_home(tmp_path_factory.mktemp("held") / "home", server, mlflow=mlflow_template) as settings:
        ingested(WORLD)
        with closing(hold_lock(settings)):
            yield settings


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home with ports of its own."""
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "home"))
    choose_free_ports(monkeypatch)
    return Settings()


@pytest.fixture
def everfeed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def _check(ended: Ended, words: tuple[str, ...]) -> None:
    assert ended.code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for expected in words:
        assert expected in ended.last_line


@pytest.mark.parametrize("case", IN_A_FLOW)
def test_a_run_is_refused_and_nothing_is_lost_when_a_source_gives(
    held: Settings, everfeed: Terminal, tmp_path: Path, case: str
) -> None:
    bad = IN_A_FLOW[case]
    path = bad.make(tmp_path)
    content, before = path.read_bytes(), state_of(held)
    ended = everfeed("run", "--source", bad.source, "--path", str(path), *bad.arguments, "--json")
    _check(ended, bad.words)
    assert path.read_bytes() == content
    assert state_of(held) == before


@pytest.mark.parametrize("case", AT_ONCE)
def test_a_run_is_refused_before_anything_starts_when_it_names(
    alone: Settings, everfeed: Terminal, tmp_path: Path, case: str
) -> None:
    bad = AT_ONCE[case]
    path = bad.make(tmp_path)
    _check(everfeed("run", "--source", bad.source, "--path", str(path), *bad.arguments), bad.words)
    assert list(alone.root.iterdir()) == []


@pytest.mark.parametrize("case", RECIPES)
def test_a_run_is_refused_before_anything_starts_when_its_recipe_has(
    alone: Settings, everfeed: Terminal, tmp_path: Path, case: str
) -> None:
    text, words = RECIPES[case]
    path, recipe = write(tmp_path / "e.csv", HEADER), write(tmp_path / "mine.json", text)
    ended = everfeed("run", "--source", "table", "--path", str(path), "--recipe", str(recipe))
    _check(ended, (*words, str(recipe)))
    assert list(alone.root.iterdir()) == []


@pytest.mark.parametrize(
    ("moments", "words"),
    [
        (("2010-01-01", "2011-01-01"), ("leaves 0 training", "2010-01-01", "data from 2024-01-01", "split.test_from")),
        (("2010-01-01", "2098-01-01"), ("leaves 0 training", "0 test")),
        (("2024-01-10", "2098-01-01"), ("0 test interactions", "2098-01-01", "data from 2024-01-01", "Choose moments")),
    ],
)
def test_a_run_is_refused_and_nothing_is_lost_when_its_split_leaves_nothing(
    held: Settings, everfeed: Terminal, moments: tuple[str, str], words: tuple[str, ...]
) -> None:
    before = state_of(held)
    first, second = moments
    split = ("--set", f"split.validation_from={first}", "--set", f"split.test_from={second}")
    _check(everfeed(*AGAIN, *split), words)
    assert state_of(held) == before


def test_a_run_is_refused_and_its_batch_kept_when_the_home_holds_another_data_set(
    held: Settings, everfeed: Terminal
) -> None:
    before = state_of(held)
    staged = {path.name for path in (held.root / "staging").iterdir()}
    ended = everfeed(*AGAIN, "--option", "seed=7", "--name", "other")
    _check(ended, ("holds the data set 'synthetic'", "'other'", "EVERFEED_HOME", "--name synthetic"))
    assert state_of(held) == before
    (batch,) = {path.name for path in (held.root / "staging").iterdir()} - staged
    assert (held.root / "staging" / batch / "interactions.parquet").exists()


def test_the_message_ends_the_terminal_and_prefect_has_the_log_when_a_flow_fails_in_a_process(
    held: Settings, tmp_path: Path
) -> None:
    before = state_of(held)
    ended = in_a_process(held, ["run", "--source", "table", "--path", str(_truncated(tmp_path)), "--json"])
    _check(ended, IN_A_FLOW["a truncated Parquet file"].words)
    for noise in ("Beginning flow run", "Finished in state", "Error logging to API", "nanobind"):
        assert noise not in ended.err
    assert state_of(held) == before
    logs = httpx.post(f"{held.prefect_url}/api/logs/filter", json={"limit": 200}, trust_env=False).json()
    assert any("not a whole Parquet file" in log["message"] for log in logs)


def test_events_are_kept_once_and_counted_when_they_are_duplicates(held: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", HEADER + "u1,i1,5\nu1,i2,6\nu1,i1,5\n")
    batch = ingest("table", path, {"timestamp_unit": "s"})
    assert (batch.interactions, batch.duplicates) == (2, 1)


def test_events_go_to_quarantine_when_they_are_in_the_future(
    server: Settings, mlflow_template: Path, tmp_path: Path
) -> None:
    rows = [f"u{n % 7},i{n % 5},{(FIRST + timedelta(hours=n)).isoformat()}" for n in range(60)]
    rows.append(f"u1,i1,{(datetime.now(UTC) + timedelta(days=30)).isoformat()}")
    path = write(tmp_path / "events.csv", HEADER + "\n".join(rows) + "\n")
    with at_home(tmp_path / "home", server, mlflow=mlflow_template) as settings:
        snapshot = validate(ingest("table", path, {"timestamp_unit": "iso"}))
        quarantine = connect(settings).lake.read("quarantine")
    assert (snapshot.interactions, snapshot.quarantined) == (60, 1)
    assert snapshot.as_of == FIRST + timedelta(hours=59)
    assert "future" in str(quarantine.to_pylist())


def test_a_service_is_not_started_when_its_port_is_taken(alone: Settings, everfeed: Terminal) -> None:
    with socket.socket() as owner:
        owner.bind((alone.host, alone.gateway_port))
        owner.listen()
        ended = everfeed("up")
    words = (f"port {alone.gateway_port} for gateway", str(os.getpid()), "Stop that process", "EVERFEED_GATEWAY_PORT")
    _check(ended, words)
    assert not (alone.root / "stack.json").exists()


@pytest.mark.parametrize("command", [("up",), ("up", "--detach"), ("demo", "--exit")])
def test_a_second_stack_is_refused_when_one_is_up(held: Settings, everfeed: Terminal, command: tuple[str, ...]) -> None:
    before = state_of(held)
    _check(everfeed(*command), (f"already up over {held.root}", "everfeed down"))
    assert state_of(held) == before


def test_a_demo_that_is_up_loses_nothing_when_another_is_started(alone: Settings, everfeed: Terminal) -> None:
    alone.root.mkdir()
    for name in ("demo", "data_set.json", "everfeed.db"):
        write(alone.root / name, name)
    with closing(hold_lock(alone)):
        _check(everfeed("demo", "--exit", "--json"), (f"already up over {alone.root}",))
    assert (alone.root / "everfeed.db").read_text() == "everfeed.db"


def test_a_demo_is_refused_when_the_home_holds_data_of_ones_own(alone: Settings, everfeed: Terminal) -> None:
    alone.root.mkdir()
    write(alone.root / "data_set.json", json.dumps({"name": "shop", "is_order_only": False}))
    ended = everfeed("demo", "--exit", "--json")
    _check(ended, (str(alone.root), "holds data of your own", "EVERFEED_HOME=.everfeed-demo everfeed demo"))
    assert json.loads((alone.root / "data_set.json").read_text())["name"] == "shop"
    assert not (alone.root / "demo").exists()


def test_a_run_is_refused_and_nothing_is_lost_when_no_event_has_a_user(
    held: Settings, everfeed: Terminal, tmp_path: Path
) -> None:
    before = state_of(held)
    path = write(tmp_path / "synthetic.csv", HEADER + "".join(f",i{n},{n}\n" for n in range(50)))
    ended = everfeed("run", "--source", "table", "--path", str(path), "--option", "timestamp_unit=s")
    _check(ended, ("Data Docs: ",))
    assert "The table 'interactions' may not be" in ended.err
    assert "user_id" in ended.err
    assert state_of(held) == before


def test_a_source_is_read_by_pattern_when_several_files_match(held: Settings, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", HEADER + "u1,i1,5\n")
    write(tmp_path / "b.csv", HEADER + "u2,i1,6\n")
    write(tmp_path / "c.csv", HEADER)
    assert ingest("table", tmp_path / "*.csv", {"timestamp_unit": "s"}).interactions == 2


def test_the_gateway_refuses_or_answers_when_a_request_is_bad(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'everfeed.db'}")
    home = Home(tmp_path, database)
    home.crown()
    app = create_app(database, bundles=home.bundles, token=TOKEN, user_secret=SECRET)
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answers = [
            client.post("/v1/recommend", content=b"{'user': 'a'}", headers={"content-type": "application/json"}),
            client.post("/v1/recommend", json={"user": "a", "k": 0}),
            client.post("/v1/recommend", json={"user": "a", "k": 10_000}),
        ]
        unknown = client.post("/v1/recommend", json={"user": "nobody", "k": 3})
    database.close()
    assert [answer.status_code for answer in answers] == [400, 422, 422]
    for answer, place in zip(answers, ("body", "body.k", "body.k"), strict=True):
        problem = answer.json()["error"]
        assert problem["where"] == place
        assert all(problem[part] for part in ("what", "expected", "what_to_do"))
    assert unknown.status_code == 200
    assert unknown.json()["unknown_user"] is True
    assert [item["item_id"] for item in unknown.json()["items"]] == ["film-00", "film-02", "film-04"]


def test_a_batch_is_refused_when_its_source_holds_no_user_of_the_sample(held: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", HEADER + "u1,i1,5\n")
    with pytest.raises(DataError, match="holds no interactions"):
        ingest("table", path, {"timestamp_unit": "s"}, "", 1e-9)
