"""Runs in MLflow, found again by their keys."""

import math
from pathlib import Path

import pytest

from infra.tracking import Tracker
from recmodels.errors import StoreError


@pytest.fixture
def tracker(mlflow_uri: str, tmp_path: Path) -> Tracker:
    return Tracker(mlflow_uri, artifacts=tmp_path / "artifacts")


def test_run_is_found_again_when_its_key_comes_again(tracker: Tracker) -> None:
    parent = tracker.lifecycle_run("snapshot", name="ml-100k", tags={"data": "ml-100k"})
    child = tracker.model_run("recipe", parent=parent, name="sasrec", tags={"seed": "1"})
    assert tracker.lifecycle_run("snapshot", name="ml-100k", tags={"data": "again"}) == parent
    assert tracker.model_run("recipe", parent=parent, name="sasrec", tags={"seed": "1"}) == child
    assert tracker.lifecycle_run("recipe", name="other", tags={}) not in {parent, child}
    run = tracker.client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.info.run_name == "sasrec"
    assert tracker.client.get_run(parent).data.tags["data"] == "again"


def test_recipe_becomes_parameters_and_a_file(tracker: Tracker) -> None:
    run_id = tracker.lifecycle_run("k", name="n", tags={})
    recipe = {"name": "sasrec", "trainer": {"epochs": 3, "extra": {}}, "text": "x" * 7000, "ks": [10, 50]}
    for _ in range(2):
        tracker.log_recipe(run_id, recipe)
    parameters = tracker.client.get_run(run_id).data.params
    assert parameters["trainer.epochs"] == "3"
    assert parameters["trainer.extra"] == "{}"
    assert parameters["ks"] == "[10, 50]"
    assert len(parameters["text"]) == 6000
    assert _files(tracker, run_id) == ["recipe.json"]


def test_metrics_are_kept_by_step(tracker: Tracker) -> None:
    run_id = tracker.lifecycle_run("k", name="n", tags={})
    for step, loss in ((1, 0.5), (2, 0.25)):
        tracker.log_metrics(run_id, {"loss": loss, "bad": math.nan}, step=step)
    tracker.log_metrics(run_id, {f"m{n}": n for n in range(250)})
    history = [(metric.step, metric.value) for metric in tracker.client.get_metric_history(run_id, "loss")]
    assert history == [(1, 0.5), (2, 0.25)]
    metrics = tracker.client.get_run(run_id).data.metrics
    assert "bad" not in metrics
    assert len(metrics) == 251


def test_files_and_data_sets_stay_with_the_run(tracker: Tracker, tmp_path: Path) -> None:
    run_id = tracker.lifecycle_run("k", name="n", tags={})
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    tracker.log_folder(run_id, folder, folder="bundle")
    tracker.log_file(run_id, folder / "manifest.json", folder="plots")
    tracker.log_text(run_id, "# card", file="card.md")
    tracker.log_data_set(run_id, name="ml-100k", digest="f" * 64, source="lake/interactions@3")
    assert _files(tracker, run_id) == ["bundle", "card.md", "plots"]
    inputs = tracker.client.get_run(run_id).inputs.dataset_inputs
    assert [(data.dataset.name, data.dataset.digest) for data in inputs] == [("ml-100k", "f" * 36)]
    assert (tmp_path / "artifacts").is_dir()


def test_unfinished_runs_are_found(tracker: Tracker) -> None:
    done, open_run = (tracker.lifecycle_run(key, name=key, tags={}) for key in ("a", "b"))
    tracker.finish(done)
    assert tracker.unfinished() == [open_run]
    tracker.finish(open_run, status="FAILED")
    assert tracker.unfinished() == []
    assert tracker.lifecycle_run("b", name="b", tags={}) == open_run
    assert tracker.unfinished() == [open_run]


def test_tags_overwrite_and_are_cut_to_what_mlflow_takes(tracker: Tracker) -> None:
    run_id = tracker.lifecycle_run("k", name="n", tags={"why": "first"})
    tracker.set_tags(run_id, {"why": "x" * 9000})
    assert tracker.client.get_run(run_id).data.tags["why"] == "x" * 8000


def test_unknown_run_is_explained(tracker: Tracker) -> None:
    with pytest.raises(StoreError, match=r"MLflow at sqlite.*nowhere"):
        tracker.finish("nowhere")


def test_two_trackers_share_one_experiment(tracker: Tracker, mlflow_uri: str, tmp_path: Path) -> None:
    other = Tracker(mlflow_uri, artifacts=tmp_path / "artifacts")
    assert tracker.experiment_id == other.experiment_id


def _files(tracker: Tracker, run_id: str) -> list[str]:
    return sorted(file.path for file in tracker.client.list_artifacts(run_id))


def test_a_run_and_its_files_are_read_back_by_id_or_by_a_tag(tracker: Tracker, tmp_path: Path) -> None:
    run_id = tracker.lifecycle_run("k", name="first", tags={"bundle": "d1ce" * 16})
    tracker.log_text(run_id, "kept", file="evaluation/words.txt")
    run = tracker.find(run_id)
    assert run is not None
    assert (run.name, run.tags["bundle"]) == ("first", "d1ce" * 16)
    assert tracker.tagged("bundle", "d1ced1ce") == [run]
    assert tracker.tagged("bundle", "d2ce") == []
    folder = tracker.fetch(run_id, "evaluation", to=tmp_path)
    assert (folder / "words.txt").read_text() == "kept"


def test_what_a_run_does_not_keep_is_said_and_an_unknown_run_is_none(tracker: Tracker, tmp_path: Path) -> None:
    run_id = tracker.lifecycle_run("k", name="first", tags={})
    with pytest.raises(StoreError, match="keeps no 'evaluation'"):
        tracker.fetch(run_id, "evaluation", to=tmp_path)
    assert tracker.find("0" * 32) is None
