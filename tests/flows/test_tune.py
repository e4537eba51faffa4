"""`everfeed tune`: what a search finds, what it leaves in MLflow, and what an interruption changes: nothing."""

import csv
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from mlflow.entities import Run

from flows import progress
from flows.tracked import track_epoch
from flows.train import read_split
from flows.tune import Tuned, tune
from flows.validate import snapshot_of
from flows.wiring import Platform
from infra.locks import exclusive
from infra.processes import hold_lock
from infra.settings import Settings
from infra.studies import TrialState
from recmodels.data.schema import ITEM_ID, TIMESTAMP
from recmodels.errors import AlreadyRunningError, TrainingError
from recmodels.models.sasrec import Model as SasRec
from recmodels.recipe import parse_recipe
from recmodels.training.trainer import EpochMetrics, train
from tests.flows.commands import Terminal, write
from tests.flows.homes import ROOT, at_home, environment, python, steps_of
from tests.flows.searched import DIES_IN, EPOCHS, TRIALS, InTrial, StopError, home_with_data, search_of, world

EASE = {"name": "ease", "model": {"name": "ease"}}
FEW = {"model.config.regularisation": {"kind": "choice", "values": [1.0, 200.0]}}


class WithoutExport(SasRec):
    """The real model; its export, which takes seconds, is left out."""

    def export(self):
        return self


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recmodels.models.sasrec.Model", WithoutExport)
        yield


@pytest.fixture(scope="module")
def searched(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    with home_with_data(tmp_path_factory.mktemp("searched"), server, mlflow=mlflow_template) as home:
        return home


@pytest.fixture
def here(searched: Platform, server: Settings, mlflow_template: Path) -> Iterator[Platform]:
    """The home that was searched, for a test."""
    with at_home(searched.settings.root, server, mlflow=mlflow_template):
        yield searched


@pytest.fixture(scope="module")
def tuned(searched: Platform, server: Settings, mlflow_template: Path) -> Tuned:
    """A search that was never interrupted."""
    with at_home(searched.settings.root, server, mlflow=mlflow_template):
        return tune(search_of())


def runs_below(home: Platform, run_id: str) -> list[Run]:
    """Return the runs of a search's trials in their order."""
    found = home.tracker.client.search_runs(
        [home.tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", order_by=["attributes.start_time"]
    )
    return sorted(found, key=lambda run: int(run.data.tags["trial"]))


def test_every_outcome_is_met_when_the_space_holds_what_fails(tuned: Tuned) -> None:
    assert [trial.number for trial in tuned.trials] == list(range(TRIALS))
    assert {trial.state for trial in tuned.trials} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED}
    assert tuned.base is tuned.trials[0]
    for trial in tuned.trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.objective == max(trial.by_epoch.values())
            assert len(trial.by_epoch) == EPOCHS
        elif trial.state == TrialState.PRUNED:
            assert trial.words == f"given up after epoch {len(trial.by_epoch)} of {EPOCHS}"
        else:
            assert "num_heads 2 must divide embedding_dim 15" in trial.words


def test_every_trial_is_a_child_run_when_a_search_ended(here: Platform, tuned: Tuned) -> None:
    runs = runs_below(here, tuned.run_id)
    status = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAILED: "FAILED"}
    assert [run.info.status for run in runs] == [status[trial.state] for trial in tuned.trials]
    for run, trial in zip(runs, tuned.trials, strict=True):
        assert (run.data.tags["state"], run.data.tags["reason"]) == (trial.state, trial.words)
        assert {path: run.data.params[path] for path in trial.values} == {p: str(v) for p, v in trial.values.items()}
        steps = steps_of(here, run.info.run_id, "loss")
        assert steps == list(trial.by_epoch)
        reached = run.data.metrics.get("best_validation_ndcg_at_10")
        assert reached == (trial.objective if trial.state == TrialState.COMPLETE else None)
        if trial.state != TrialState.FAILED:
            assert run.data.params["trainer.weight_decay"] == "0.0"


def test_the_parent_run_tells_what_was_tried_when_a_search_ended(here: Platform, tuned: Tuned, tmp_path: Path) -> None:
    run = here.tracker.client.get_run(tuned.run_id)
    assert run.info.status == "FINISHED"
    counts = {state: sum(trial.state == state for trial in tuned.trials) for state in ("complete", "pruned", "failed")}
    assert {state: int(run.data.tags[f"trials.{state}"]) for state in counts} == counts
    assert (run.data.tags["trials"], run.data.tags["best.trial"]) == (str(TRIALS), str(tuned.best.number))
    with here.tracker.fetch(tuned.run_id, "trials.csv", to=tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [trial.state for trial in tuned.trials]
    learned = [row["trainer.learning_rate"] for row in rows]
    assert learned == [json.dumps(trial.values["trainer.learning_rate"]) for trial in tuned.trials]
    assert rows[-1]["reason"] == tuned.trials[-1].words
    assert parse_recipe(here.tracker.fetch(tuned.run_id, "recipe.json", to=tmp_path).read_text()) == tuned.recipe


def test_the_best_recipe_reaches_the_same_figure_when_its_file_is_trained(here: Platform, tuned: Tuned) -> None:
    recipe = parse_recipe(json.loads(tuned.path.read_text()))
    assert tuned.best.objective == max(t.objective for t in tuned.trials if t.state == TrialState.COMPLETE)
    split = read_split(here, snapshot_of(here, name="world", is_order_only=False), recipe)
    trained = train(recipe, split, checkpoint_folder=None, seed=recipe.seed)
    assert trained.metrics["ndcg_at_10"] == tuned.best.objective


def test_nothing_is_left_of_an_interruption_when_the_search_is_started_again(
    tuned: Tuned, server: Settings, mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = search_of(trials=DIES_IN + 2)
    with home_with_data(tmp_path / "home", server, mlflow=mlflow_template) as home:
        monkeypatch.setattr("flows.trials.track_epoch", _ends_in_epoch_2)
        with pytest.raises(StopError):
            tune(few)
        monkeypatch.undo()
        monkeypatch.setattr(progress, "_current", InTrial(is_real=False))
        with pytest.raises(StopError):
            tune(few)
        monkeypatch.undo()
        (interrupted,) = (home.settings.searches / tuned.key[:16]).glob("trial-*")
        assert interrupted.name == f"trial-{DIES_IN}"
        again = tune(few)
        assert again.trials == tuned.trials[: few.trials]
        runs = runs_below(home, again.run_id)
        assert len(runs) == few.trials
        assert [steps_of(home, runs[n].info.run_id, "loss") for n in (0, DIES_IN)] == [list(range(1, EPOCHS + 1))] * 2
        assert not list((home.settings.searches / tuned.key[:16]).glob("trial-*"))


def _ends_in_epoch_2(home: Platform, run_id: str, epoch: EpochMetrics) -> None:
    """Stand for a death after an epoch's checkpoint was written, and before anybody was told of the epoch."""
    if epoch.epoch == 2:
        raise StopError
    track_epoch(home, run_id, epoch)


def test_a_search_goes_on_when_more_trials_are_asked_for(here: Platform, tuned: Tuned) -> None:
    same = tune(search_of())
    assert (same.trials, same.run_id) == (tuned.trials, tuned.run_id)
    more = tune(search_of(trials=TRIALS + 1))
    assert (more.key, more.run_id, more.trials[:-1]) == (tuned.key, tuned.run_id, tuned.trials)
    assert len(runs_below(here, tuned.run_id)) == TRIALS + 1


def test_a_search_is_refused_when_another_process_runs_it(here: Platform, tuned: Tuned) -> None:
    with exclusive(tuned.path.with_name("lock")), pytest.raises(AlreadyRunningError, match="another process"):
        tune(search_of())


def test_the_reasons_are_told_when_no_trial_came_to_its_end(here: Platform) -> None:
    space = {"trainer.learning_rate": {"kind": "uniform", "low": 1e29, "high": 1e30}}
    with pytest.raises(TrainingError, match="none of the 2 trials came to its end: the loss is nan"):
        tune(search_of(space=space, trials=2))


def test_figures_stay_the_same_when_the_test_part_holds_something_else(
    here: Platform, server: Settings, mlflow_template: Path, tmp_path: Path
) -> None:
    search = search_of(recipe=EASE, space=FEW, trials=2)
    rows = world().interactions
    order = np.argsort(rows[TIMESTAMP].to_numpy(), kind="stable")
    late = order[int(len(order) * 0.85) :]  # the last fifth is the test part
    items = rows[ITEM_ID].to_numpy(zero_copy_only=False).copy()
    items[late] = items[late[::-1]]
    place = rows.schema.get_field_index(ITEM_ID)
    other = rows.set_column(place, rows.schema.field(place), pa.array(items).cast(rows.schema.field(place).type))
    assert pc.sum(pc.not_equal(other[ITEM_ID], rows[ITEM_ID])).as_py() > 100
    first = tune(search)
    with home_with_data(tmp_path / "other", server, mlflow=mlflow_template, interactions=other):
        second = tune(search)
    assert second.key != first.key
    assert [trial.objective for trial in second.trials] == [trial.objective for trial in first.trials]


def test_a_recipe_is_trained_once_when_trials_repeat_it(
    here: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "search.json", json.dumps({"recipe": EASE, "space": FEW, "trials": 2, "seed": 1}))
    out = tmp_path / "best" / "recipe.json"
    with hold_lock(here.settings):  # as if a stack were up
        ended = Terminal(capsys, monkeypatch)("tune", str(file), "--trials", "5", "--out", str(out), "--json")
    assert ended.code == 0, ended.err
    found = ended.document
    assert found["counts"] == {"trials": 5, "complete": 5, "pruned": 0, "failed": 0}
    first = {trial["values"]["model.config.regularisation"]: trial["number"] for trial in found["trials"][::-1]}
    for trial in found["trials"]:
        told = first[trial["values"]["model.config.regularisation"]]
        expected = "" if trial["number"] == told else f"the same recipe as trial {told}, so not trained again"
        assert trial["words"] == expected
        assert trial["objective"] == found["trials"][told]["objective"]
    assert found["recipe"] == str(out)
    best = parse_recipe(json.loads(out.read_text()))
    assert best.model.config["regularisation"] == found["best"]["values"]["model.config.regularisation"]
    assert f"is the best of 5 (5 complete): validation ndcg_at_10 {found['best']['objective']:.4f}" in ended.err
    assert f"--recipe {out}" in ended.last_line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("[1]", "Give one JSON object"),
        ('{"recipe": {"name": "a", "model": {"name": "ease"}}, "space": {"trainer.x": {"kind": "log"}}}', "low"),
        (json.dumps({"recipe": EASE, "space": {"seed": {"kind": "int", "low": 0, "high": 9}}}), "cannot be searched"),
        (json.dumps({"recipe": EASE, "space": FEW}), "holds no data yet"),
    ],
)
def test_a_message_says_what_to_do_when_the_search_or_the_home_is_at_fault(
    text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERFEED_HOME", str(tmp_path / "empty"))
    file = write(tmp_path / "search.json", text) if text else tmp_path / "missing.json"
    ended = Terminal(capsys, monkeypatch)("tune", str(file))
    assert ended.code == 2
    assert words in ended.last_line


@pytest.mark.slow
def test_the_trials_are_those_of_a_whole_search_when_the_process_was_killed(
    server: Settings, mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recmodels.models.sasrec.Model", SasRec)  # the killed process exports its models
    with home_with_data(tmp_path / "whole", server, mlflow=mlflow_template):
        whole = tune(search_of())
    with home_with_data(tmp_path / "killed", server, mlflow=mlflow_template) as home:
        command = python("-m", "tests.flows.searched")
        dying = subprocess.run(
            command, env=environment(home.settings), cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
        )
        assert dying.returncode == -signal.SIGKILL, dying.stderr[-3000:]
        again = tune(search_of())
        assert again.trials == whole.trials
        assert len(runs_below(home, again.run_id)) == TRIALS
