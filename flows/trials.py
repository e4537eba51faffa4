"""One trial of a search: trained on the training part, judged on the validation part, each epoch told to its study."""

import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from flows import progress
from flows.references import Reference, Snapshot
from flows.tracked import tags_of, track_epoch
from flows.train import read_split
from flows.wiring import Platform, platform
from infra.studies import OpenTrial, Study, TrialRecord, TrialState
from recmodels.data.splits import Split
from recmodels.errors import RecipeError, TrainingError
from recmodels.recipe import Recipe
from recmodels.search import OBJECTIVE, SearchConfig, without_test
from recmodels.training import trainer
from recmodels.training.checkpoints import kept_epochs

_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.FAILED: "FAILED"}
"""What MLflow calls a trial's end."""

_REACHED = f"best_validation_{OBJECTIVE}"
"""Metric of a trial's best epoch, and of the best trial so far; beside that of the epochs, whose last MLflow shows."""


class Search(Reference):
    """A search that was opened."""

    config: SearchConfig
    snapshot: Snapshot
    key: str
    """Identity: what decides the trials, and the data."""
    run_id: str
    """MLflow run that the trials stand under."""
    folder: Path
    """Holds the checkpoints of the open trial, and the best recipe."""
    finished: int
    """Trials that had ended when the search was opened."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: Complete, pruned or failed.
        objective: Validation ndcg_at_10 of the best epoch; None unless it is complete.
        words: Why it did not come to its end, or which trial it repeats.
    """

    state: TrialState
    objective: float | None = None
    words: str = ""


class _HopelessError(Exception):
    """Ends the training of a trial that is given up."""


@dataclass(frozen=True)
class _Begun:
    """A trial that is being run: what it is, and where it is told of."""

    home: Platform
    search: Search
    study: Study
    trial: OpenTrial
    run_id: str

    @property
    def folder(self) -> Path:
        return self.search.folder / f"trial-{self.trial.number}"


def finish_trial(home: Platform, search: Search, number: int) -> Outcome:
    """Run a trial, or go on with it where it was interrupted, and keep how it ended, last of all in its study."""
    study = home.studies.open(search.key, search.config)
    trial = study.begin(number)
    begun = _Begun(home, search, study, trial, _open_run(home, search, trial.record))
    outcome = _run(begun)
    _track(begun, outcome)
    trial.end(outcome.state, objective=outcome.objective, words=outcome.words)
    shutil.rmtree(begun.folder, ignore_errors=True)
    return outcome


def forget_data() -> None:
    """Let go of the data that the trials of a search share."""
    _read_split.cache_clear()


def _open_run(home: Platform, search: Search, trial: TrialRecord) -> str:
    tags = tags_of(search.config.recipe, search.snapshot) | {"search": search.key, "trial": str(trial.number)}
    key = f"{search.key}:{trial.number}"
    run_id = home.tracker.model_run(key, parent=search.run_id, name=f"trial {trial.number}", tags=tags)
    home.tracker.log_parameters(run_id, trial.values)
    return run_id


def _run(begun: _Begun) -> Outcome:
    try:
        recipe = begun.search.config.recipe_of(begun.trial.record.values)
    except RecipeError as error:
        return Outcome(TrialState.FAILED, words=str(error))
    begun.home.tracker.log_recipe(begun.run_id, recipe.model_dump(mode="json"))
    twin = _twin(begun, recipe)
    return _repeat(begun, twin) if twin else _train(begun, recipe)


def _twin(begun: _Begun, recipe: Recipe) -> TrialRecord | None:
    """Return an earlier trial of the very same recipe, which would end alike; one that failed may do better now."""
    done, config = (TrialState.COMPLETE, TrialState.PRUNED), begun.search.config
    earlier = (trial for trial in begun.study.trials()[: begun.trial.number] if trial.state in done)
    return next((trial for trial in earlier if config.recipe_of(trial.values).digest == recipe.digest), None)


def _repeat(begun: _Begun, twin: TrialRecord) -> Outcome:
    for epoch, value in twin.by_epoch.items():
        begun.trial.report(epoch, value)
    objective = twin.objective if twin.state == TrialState.COMPLETE else None
    return Outcome(twin.state, objective, words=f"the same recipe as trial {twin.number}, so not trained again")


def _train(begun: _Begun, recipe: Recipe) -> Outcome:
    what = f"trial {begun.trial.number}"
    if kept_epochs(begun.folder) > begun.trial.last_epoch:  # it died before that epoch was told of, and judged
        shutil.rmtree(begun.folder)
    try:
        trained = trainer.train(
            recipe,
            _read_split(begun.search.snapshot.model_dump_json(), begun.search.config.recipe.model_dump_json()),
            checkpoint_folder=begun.folder,
            seed=recipe.seed,
            memory_bytes=psutil.virtual_memory().available,
            disk_bytes=psutil.disk_usage(str(begun.home.settings.root)).free,
            on_epoch=lambda epoch: _tell(begun, epoch),
            on_step=lambda done, total: progress.report(what, done, total),
        )
    except _HopelessError:
        words = f"given up after epoch {begun.trial.last_epoch} of {recipe.trainer.epochs}"
        return Outcome(TrialState.PRUNED, words=words)
    except (TrainingError, MemoryError, RuntimeError) as error:  # torch's own errors are of the last kind
        return Outcome(TrialState.FAILED, words=str(error) or repr(error))
    finally:
        progress.report(what, 1, 1)
    return Outcome(TrialState.COMPLETE, trained.metrics[OBJECTIVE])


def _tell(begun: _Begun, epoch: trainer.EpochMetrics) -> None:
    """Keep what an epoch reached, and end the training where there is no hope in it."""
    if epoch.epoch > begun.trial.last_epoch:  # it ran before an interruption, too, otherwise
        track_epoch(begun.home, begun.run_id, epoch)
        begun.trial.report(epoch.epoch, epoch.ndcg_at_10)
    if begun.trial.is_hopeless():
        raise _HopelessError


def _track(begun: _Begun, outcome: Outcome) -> None:
    tracker = begun.home.tracker
    if outcome.objective is not None:
        tracker.log_metrics(begun.run_id, {_REACHED: outcome.objective})
        reached = [trial.objective for trial in begun.study.trials() if trial.state == TrialState.COMPLETE]
        best = max([outcome.objective, *(value for value in reached if value is not None)])
        tracker.log_metrics(begun.search.run_id, {_REACHED: best}, step=begun.trial.number)
    tracker.set_tags(begun.run_id, {"state": outcome.state, "reason": outcome.words})
    tracker.finish(begun.run_id, status=_STATUS[outcome.state])


@lru_cache(maxsize=1)
def _read_split(snapshot: str, recipe: str) -> Split:
    """Read the data of a search once for all of its trials, without the test part.

    Args:
        snapshot: As JSON, which can be compared.
        recipe: The search's own, as JSON; no trial differs from it in how the data is divided.
    """
    read = read_split(platform(), Snapshot.model_validate_json(snapshot), Recipe.model_validate_json(recipe))
    return without_test(read)
