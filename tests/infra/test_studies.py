"""A study on real SQLite: what is tried, what is given up, and what an interruption changes: nothing."""

import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from infra.studies import Study, StudyStore, TrialState
from recmodels.errors import StoreError
from recmodels.search import SearchConfig, parse_search

RECIPE = {"name": "small", "model": {"name": "ease"}, "trainer": {"epochs": 4}}
SPACE = {
    "trainer.learning_rate": {"kind": "log", "low": 1e-4, "high": 1e-1},
    "trainer.batch_size": {"kind": "int", "low": 16, "high": 256, "step": 16},
    "trainer.gradient_norm": {"kind": "choice", "values": [1.0, 5.0, 10.0]},
}
EPOCHS = 4
TRIALS = 13
"""The sampler draws at random for ten of them, and from what it has learned afterwards."""


def search_of(**changes: Any) -> SearchConfig:
    return parse_search({"recipe": RECIPE, "space": SPACE, "trials": TRIALS, "seed": 5, **changes})


def objective(values: Any, epoch: int) -> float:
    """Best at a learning rate of 0.01 and small batches, and growing with the epochs."""
    rate = abs(math.log10(values["trainer.learning_rate"]) + 2.0)
    return epoch / EPOCHS - rate - values["trainer.batch_size"] / 1000


def run(study: Study, number: int) -> None:
    """Run a trial to its end."""
    trial = study.begin(number)
    for epoch in range(1, EPOCHS + 1):
        trial.report(epoch, objective(trial.record.values, epoch))
        if trial.is_hopeless():
            trial.end(TrialState.PRUNED, words=f"after {epoch}")
            return
    trial.end(TrialState.COMPLETE, objective=objective(trial.record.values, EPOCHS))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty tables; making them takes most of a second."""
    path = tmp_path_factory.mktemp("studies") / "empty.db"
    StudyStore(f"sqlite:///{path}").open("none", search_of())
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    (tmp_path / "searches.db").write_bytes(template.read_bytes())
    return f"sqlite:///{tmp_path / 'searches.db'}"


@pytest.mark.parametrize("pruner", ["median", pytest.param("hyperband", marks=pytest.mark.slow)])
def test_the_trials_are_the_same_when_the_process_died_in_every_one_of_them(url: str, pruner: str) -> None:
    search = search_of(pruner={"kind": pruner, "warmup_epochs": 1})
    study = StudyStore(url).open("search", search)
    for number in range(TRIALS):
        run(study, number)
    expected = study.trials()
    assert {trial.state for trial in expected} == {TrialState.COMPLETE, TrialState.PRUNED}
    _forget(url)
    study = StudyStore(url).open("search", search)
    for number in range(TRIALS):
        study.begin(number)
        _lose_a_field(url)
        study = StudyStore(url).open("search", search)
        interrupted = study.begin(number)
        interrupted.report(1, objective(interrupted.record.values, 1))
        run(study, number)
    assert study.trials() == expected


def _lose_a_field(url: str) -> None:
    """Do as if the process had died before it drew the last field of the newest trial."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        newest = "SELECT max(param_id) FROM trial_params"
        connection.execute(f"DELETE FROM trial_params WHERE param_id = ({newest})")
    connection.close()


def _forget(url: str) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table not in ("alembic_version", "version_info"):
                connection.execute(f"DELETE FROM {table}")
    connection.close()


def test_the_first_trial_is_the_recipe_itself_when_the_space_holds_it(url: str) -> None:
    study = StudyStore(url).open("held", search_of(recipe={**RECIPE, "trainer": {"batch_size": 64}}))
    first = study.begin(0)
    first.end(TrialState.COMPLETE, objective=0.1)
    assert first.record.values == {
        "trainer.learning_rate": 0.001,
        "trainer.batch_size": 64,
        "trainer.gradient_norm": 5.0,
    }
    assert (first.record.is_base, study.begin(1).record.is_base) == (True, False)
    outside = StudyStore(url).open("outside", search_of(recipe={**RECIPE, "trainer": {"batch_size": 65}}))
    assert not outside.begin(0).record.is_base


def test_a_trial_is_given_up_when_it_is_below_the_median_of_those_that_ended(url: str) -> None:
    pruner = {"kind": "median", "warmup_epochs": 2, "startup_trials": 3}
    study = StudyStore(url).open("median", search_of(pruner=pruner))
    for number, reached in enumerate((0.1, 0.2, 0.3)):
        trial = study.begin(number)
        for epoch in (1, 2):
            trial.report(epoch, reached)
            assert not trial.is_hopeless()  # three must have come to their end
        trial.end(TrialState.COMPLETE, objective=reached)
    worse = study.begin(3)
    worse.report(1, 0.0)
    assert not worse.is_hopeless()  # two epochs are granted
    worse.report(2, 0.19)
    assert worse.is_hopeless()  # the median is 0.2
    worse.end(TrialState.PRUNED, words="after 2")
    better = study.begin(4)
    better.report(1, 0.0)
    better.report(2, 0.21)
    assert not better.is_hopeless()


def test_an_epoch_stays_as_it_was_when_it_is_told_of_again(url: str) -> None:
    study = StudyStore(url).open("again", search_of())
    study.begin(0).report(1, 0.5)
    again = study.begin(0)
    again.report(1, 0.7)
    assert again.last_epoch == 1
    again.end(TrialState.FAILED, words="the loss is not finite")
    (kept,) = study.trials()
    assert (kept.state, kept.words, kept.objective) == (TrialState.FAILED, "the loss is not finite", None)
    assert kept.by_epoch == {1: 0.5}


def test_numbers_and_text_alone_are_kept_when_trials_ran(url: str) -> None:
    study = StudyStore(url).open("kept", search_of())
    run(study, 0)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = [value for table in tables for row in connection.execute(f"SELECT * FROM {table}") for value in row]
    connection.close()
    assert len(kept) > 30
    assert {type(value) for value in kept} <= {int, float, str, type(None)}


def test_a_store_error_says_where_when_the_tables_are_damaged_or_newer(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    connection.close()
    with pytest.raises(StoreError, match="move them away to start over"):
        StudyStore(url).open("any", search_of())
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError, match=str(path)):
        StudyStore(url).open("any", search_of())
