"""What goes and what stays, whatever points at it; and that what goes can be removed at any moment."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.backups.survey import GC_LOCK
from infra.database import open_database
from infra.garbage import Finding, Needs, find, read_needs, remove
from infra.garbage.needs import _add_parents
from infra.lake import Lake
from infra.locks import shared
from infra.model_registry import ModelRegistry
from infra.settings import Settings
from infra.tracking import Tracker
from recmodels.data import schema
from recmodels.errors import AlreadyRunningError, StoreError
from tests.infra.gateway_home import Home, constant_scorer, write

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=100)
MONTH = timedelta(days=30)


def aged(path: Path, moment: datetime = OLD) -> Path:
    """Let a file or folder, with all in it, be as old as a moment."""
    for one in [path, *path.rglob("*")]:
        os.utime(one, (moment.timestamp(), moment.timestamp()))
    return path


def place(root: Path, path: str, content: str = "x", *, at: datetime = OLD) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return aged(file, at)


def looked(home: Settings, needs: Needs, *, now: datetime = NOW) -> list[Finding]:
    return find(home, needs, age=MONTH, history=MONTH, now=now)


def going(findings: list[Finding]) -> set[str]:
    return {finding.path for finding in findings if finding.goes}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    made.root.mkdir()
    return made


def bundle(root: Path, digest: str, *, parent: str = "", at: datetime = OLD) -> None:
    document = {"warm_start": {"parent": parent} if parent else None}
    place(root, f"bundles/{digest}/manifest.json", json.dumps(document), at=at)


def test_bundle_goes_when_it_never_served_and_with_it_the_notes_that_name_it(home: Settings) -> None:
    bundle(home.root, "bad")
    place(home.root, "runs/k1/trained.json", '{"digest": "bad"}')
    bundle(home.root, "good")
    place(home.root, "runs/k2/trained.json", '{"digest": "good"}')
    found = looked(home, Needs(bundles={"good": "is the champion"}))
    assert going(found) == {"bundles/bad", "runs/k1"}
    order = [finding.path for finding in found]
    assert order.index("runs/k1") < order.index("bundles/bad")
    assert {finding.path: finding.reason for finding in found}["bundles/good"] == "is the champion"


def test_bundle_stays_when_a_training_found_it_done_lately(home: Settings) -> None:
    bundle(home.root, "bad")
    place(home.root, "runs/k1/trained.json", '{"digest": "bad"}', at=NOW - timedelta(days=2))
    assert going(looked(home, Needs())) == set()


def test_checkpoints_go_when_the_training_ended_and_stay_while_it_runs(home: Settings) -> None:
    bundle(home.root, "good")
    place(home.root, "runs/k1/trained.json", '{"digest": "good"}')
    place(home.root, "runs/k1/checkpoints/epoch-000003/state.safetensors")
    place(home.root, "runs/k2/checkpoints/epoch-000001/state.safetensors")
    place(home.root, "runs/k3/checkpoints/epoch-000001/state.safetensors")
    found = looked(home, Needs(bundles={"good": "served"}, training=frozenset({"k2"})))
    assert going(found) == {"runs/k1/checkpoints", "runs/k3"}


def test_artifacts_go_when_the_run_is_archived_or_unknown(home: Settings) -> None:
    runs = {name: name * 32 for name in "abcd"}
    for run in runs.values():
        place(home.root, f"artifacts/{run}/artifacts/card.md")
    place(home.root, "artifacts/0/traces.json")
    needs = Needs(
        runs={runs["a"]: "of version 1"},
        known_runs=frozenset({runs["a"], runs["b"], runs["c"]}),
        archived=frozenset({runs["a"], runs["b"]}),
    )
    assert going(looked(home, needs)) == {f"artifacts/{runs['b']}", f"artifacts/{runs['d']}"}


def test_covariates_batches_reports_logs_and_leftovers_go_by_their_own_rules(home: Settings) -> None:
    place(home.root, "covariates/rollout%2F1.parquet")
    place(home.root, "covariates/rollout-2.parquet", at=NOW)
    place(home.root, "staging/abc/interactions.parquet")
    place(home.root, "reports/comparisons/a_against_b.png")
    place(home.root, "reports/leakage/abc.json")
    place(home.root, "reports/drift/report.html")
    place(home.root, "logs/gateway.log.1")
    place(home.root, "logs/gateway.log")
    place(home.root, "recipes.partial", at=NOW - timedelta(days=2))
    place(home.root, "bundles/.writing-x/weights.partial", at=NOW - timedelta(hours=2))
    place(home.root, "searches/k/recipe.json")
    place(home.root, "searches/k/epoch-000001/state.safetensors")
    found = looked(home, Needs(rollouts=frozenset({"rollout/1"})))
    assert going(found) == {
        "covariates/rollout-2.parquet",
        "staging/abc",
        "reports/comparisons/a_against_b.png",
        "logs/gateway.log.1",
        "recipes.partial",
        "searches/k/epoch-000001",
    }
    assert not [finding for finding in found if finding.path.startswith("reports/leakage")]


def test_an_age_below_a_day_is_refused(home: Settings) -> None:
    with pytest.raises(ValueError, match="running flow"):
        find(home, Needs(), age=timedelta(hours=23), history=MONTH, now=NOW)


DIGESTS = [f"d{number}" for number in range(6)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    served=st.sets(st.sampled_from(DIGESTS)),
    parents=st.dictionaries(st.sampled_from(DIGESTS), st.sampled_from(DIGESTS)),
    noted=st.lists(st.sampled_from([*DIGESTS, "missing"]), max_size=5),
    training=st.sets(st.integers(0, 4)),
    ages=st.lists(st.integers(0, 90), min_size=6, max_size=6),
)
def test_what_is_referenced_stays_whatever_points_at_it(
    tmp_path: Path,
    served: set[str],
    parents: dict[str, str],
    noted: list[str],
    training: set[int],
    ages: list[int],
) -> None:
    home = Settings(home=tmp_path / "drawn")
    shutil.rmtree(home.root, ignore_errors=True)
    home.root.mkdir()
    for digest, days in zip(DIGESTS, ages, strict=True):
        bundle(home.root, digest, parent=parents.get(digest, ""), at=NOW - timedelta(days=days))
    for number, digest in enumerate(noted):
        place(home.root, f"runs/k{number}/trained.json", json.dumps({"digest": digest}))
    why = dict.fromkeys(served, "served")
    _add_parents(home.bundles, why)
    needs = Needs(bundles=why, training=frozenset(f"k{number}" for number in training))
    remove(home, looked(home, needs), lambda: looked(home, needs))
    left = {path.name for path in home.bundles.iterdir()}
    needed = set(served)
    while more := {parents[digest] for digest in needed if digest in parents} - needed:
        needed |= more
    assert needed <= left
    assert {digest for digest, days in zip(DIGESTS, ages, strict=True) if days < 30} <= left
    for notes in home.runs.glob("*/trained.json"):  # nothing points at what is gone
        digest = json.loads(notes.read_text())["digest"]
        assert digest in left | {"missing"} or notes.parent.name in needs.training


@pytest.fixture
def lived(sqlite_template: Path, mlflow_template: Path, home: Settings) -> Iterator[Home]:
    shutil.copy(sqlite_template, home.root / "everfeed.db")
    shutil.copy(mlflow_template, home.root / "mlflow.db")
    database = open_database(home.database)
    yield Home(home.root, database)
    database.close()


def test_needs_name_who_serves_who_served_and_what_is_registered(home: Settings, lived: Home) -> None:
    champion, challenger = lived.crown(), lived.challenge()
    extra = {name: write(lived.bundles, constant_scorer(shift), name=name) for name, shift in (("r", 1.0), ("x", 2.0))}
    tracker, registry = Tracker(home.mlflow, artifacts=home.artifacts), ModelRegistry(home.mlflow, "everfeed")
    runs = {}
    for digest in (champion.digest, extra["r"], extra["x"]):
        runs[digest] = tracker.model_run(digest, parent="p", name="m", tags={"bundle": digest})
        tracker.log_data_set(runs[digest], name="d", digest=digest, source=f"{home.lake}/interactions@{len(runs)}")
        tracker.log_text(runs[digest], "card", file="card.md")
        tracker.finish(runs[digest])
    registry.register(extra["r"], run_id=runs[extra["r"]], source=f"runs:/{runs[extra['r']]}/bundle", tags={})
    going_on = tracker.model_run("training-key", parent="p", name="m", tags={})
    tracker.client.delete_run(runs[extra["x"]])
    needs = read_needs(home.bundles, rollouts=lived.rollouts, registry=registry, tracker=tracker)
    assert set(needs.bundles) == {champion.digest, challenger.digest, extra["r"]}
    assert needs.bundles[champion.digest] == "is the champion"
    assert needs.rollouts == {"rollout-1"}
    assert needs.training == {"training-key"}
    assert needs.archived == {runs[extra["x"]]}
    assert needs.runs.keys() == {runs[champion.digest], runs[extra["r"]], going_on}
    assert needs.versions == {"interactions": {1, 2}}
    aged(home.bundles)
    aged(home.artifacts)
    found = looked(home, needs)
    assert going(found) == {f"bundles/{extra['x']}", f"artifacts/{runs[extra['x']]}"}


def test_removal_waits_for_no_backup_and_spares_what_is_needed_by_then(home: Settings) -> None:
    for digest in ("a", "b"):
        bundle(home.root, digest)
    shown = looked(home, Needs())
    with shared(home.root / GC_LOCK), pytest.raises(AlreadyRunningError, match="backup"):
        remove(home, shown, lambda: looked(home, Needs()))
    removed = remove(home, shown, lambda: looked(home, Needs(bundles={"a": "is the champion"})))
    assert [finding.path for finding in removed.findings] == ["bundles/b"]
    assert removed.spared == ("bundles/a",)
    assert [path.name for path in home.bundles.iterdir()] == ["a"]


def _rows(tag: str) -> pa.Table:
    row = {"event_id": tag, "user_id": "u", "item_id": "i", "timestamp": OLD, "surface": "video", "origin": "event"}
    return pa.Table.from_pylist([row], schema=schema.INTERACTIONS)


def test_older_versions_of_a_table_go_but_not_one_that_a_needed_model_learned_from(home: Settings) -> None:
    lake = Lake(home.lake)
    for tag in ("first", "second", "third"):
        lake.write_window("interactions", _rows(tag), start=OLD, end=OLD + timedelta(days=1))
    orphan = place(home.root, "lake/interactions/month=2026-07/orphan.parquet")
    first = Path(*lake.file_uris("interactions", version=0))
    found = looked(home, Needs(), now=datetime.now(UTC))
    assert going(found) == {orphan.relative_to(home.root).as_posix()}  # the versions are of today
    expired = lake.expired_files("interactions", history=timedelta(0), keep_versions={1, 99})
    assert {Path(file.uri) for file in expired} == {first, orphan}
    agreed = [Finding("table file", orphan.relative_to(home.root).as_posix(), 1, OLD, goes=True, reason="")]
    assert len(remove(home, agreed, lambda: looked(home, Needs(), now=datetime.now(UTC))).findings) == 1
    assert not orphan.exists()
    first.unlink()
    assert lake.read("interactions", version=1)["event_id"].to_pylist() == ["second"]
    assert lake.read("interactions")["event_id"].to_pylist() == ["third"]
    with pytest.raises(StoreError, match="everfeed gc"):
        lake.read("interactions", version=0)


def test_removal_waits_for_an_open_reader_of_the_lake(home: Settings) -> None:
    lake = Lake(home.lake)
    lake.write_window("interactions", _rows("only"), start=OLD, end=OLD + timedelta(days=1))
    orphan = place(home.root, "lake/interactions/month=2026-07/orphan.parquet")
    shown = looked(home, Needs(), now=datetime.now(UTC))
    with ThreadPoolExecutor(1) as pool:
        with lake.reading():
            removal = pool.submit(remove, home, shown, lambda: looked(home, Needs(), now=datetime.now(UTC)))
            with pytest.raises(TimeoutError):
                removal.result(timeout=0.3)
            assert orphan.exists()
        assert len(removal.result(timeout=30).findings) == 1
    assert not orphan.exists()
