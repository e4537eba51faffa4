"""A search and the lake -> the best recipe: one trial after another, hopeless ones given up, all tracked.

A search that was killed goes on with the trial that it was in, and makes the trials that it would have made: what is
tried follows from the seed and the earlier trials alone.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows import progress
from flows.failures import explained
from flows.references import Reference
from flows.retries import is_worth_retrying
from flows.tracked import tags_of
from flows.trials import Search, finish_trial, forget_data
from flows.turns import training_turn
from flows.validate import read_data_set, snapshot_of
from flows.wiring import platform
from infra.locks import at_once
from infra.studies import TrialRecord, TrialState
from recmodels.errors import TrainingError
from recmodels.recipe import Recipe
from recmodels.search import OBJECTIVE, SearchConfig

BEST = "recipe.json"
"""Name of the file of the best recipe, in the search's folder and among its run's artifacts."""


class Tuned(Reference):
    """What a search came to."""

    key: str
    run_id: str
    trials: tuple[TrialRecord, ...]
    best: TrialRecord
    recipe: Recipe
    """Of the best trial."""
    path: Path
    """File of that recipe."""

    @property
    def base(self) -> TrialRecord | None:
        """The trial of the search's own recipe, where its space holds it."""
        return next((trial for trial in self.trials if trial.is_base), None)


@flow(name="tune", description="Search for hyper-parameters on what is in the lake.", persist_result=False)
@explained("tune")
def tune(search: SearchConfig) -> Tuned:
    """Run the trials that are missing, and write the best recipe.

    Raises:
        TrainingError: No trial came to its end.
        AlreadyRunningError: Another process runs this search.
        StoreError: The home holds no data, or the searches cannot be used.
    """
    opened = open_search(search)
    running = f"this search is being run by another process ({opened.folder}). Wait for it, or stop it first."
    with at_once(opened.folder / "lock", otherwise=running):
        try:
            for number in range(opened.finished, search.trials):
                with training_turn(platform().settings):  # a trial, not the search: others come between
                    run_trial(opened, number)
        finally:
            forget_data()
        return conclude(opened)


@task(name="open search", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def open_search(search: SearchConfig) -> Search:
    """Find or make the study and the MLflow run of a search, on the lake as it is."""
    home = platform()
    held = read_data_set(home)
    snapshot = snapshot_of(home, name=held.name, is_order_only=held.is_order_only)
    key = hashlib.sha256(f"{search.digest}:{snapshot.fingerprint}".encode()).hexdigest()[:32]
    tags = tags_of(search.recipe, snapshot) | {"search": key, "objective": f"validation {OBJECTIVE}"}
    run_id = home.tracker.search_run(key, name=f"search {search.recipe.name}", tags=tags)
    home.tracker.log_text(run_id, search.model_dump_json(indent=2), file="search.json")
    return Search(
        config=search,
        snapshot=snapshot,
        key=key,
        run_id=run_id,
        folder=home.settings.searches / key[:16],
        finished=sum(trial.state != TrialState.OPEN for trial in home.studies.open(key, search).trials()),
    )


@task(name="trial", task_run_name="trial {number}")
def run_trial(search: Search, number: int) -> TrialState:
    """Run one trial; one that fails is kept with its reason, and the search goes on."""
    config = search.config
    state = finish_trial(platform(), search, number).state
    progress.report(f"search {config.recipe.name}", number + 1, config.trials)
    return state


@task(name="conclude search")
def conclude(search: Search) -> Tuned:
    """Write the best recipe beside its search, and leave a table of the trials that a person would open."""
    home = platform()
    trials = home.studies.open(search.key, search.config).trials()
    ended = tuple(trial for trial in trials if trial.state != TrialState.OPEN)
    home.tracker.log_text(search.run_id, _as_csv(ended), file="trials.csv")
    home.tracker.set_tags(search.run_id, {f"trials.{state}": str(number) for state, number in counts_of(ended).items()})
    best = _best(ended, search)
    recipe = search.config.recipe_of(best.values)
    path = search.folder / BEST
    write_recipe(path, recipe)
    home.tracker.log_file(search.run_id, path)
    tags = {"trials": str(len(ended)), "best.trial": str(best.number), f"best.{OBJECTIVE}": f"{best.objective:.4f}"}
    home.tracker.set_tags(search.run_id, tags)
    home.tracker.finish(search.run_id)
    tuned = Tuned(key=search.key, run_id=search.run_id, trials=ended, best=best, recipe=recipe, path=path)
    url = f"{home.settings.mlflow_ui_url}/#/runs/{search.run_id}"
    create_markdown_artifact(key="search", markdown=_as_markdown(tuned, url), description=words_of(tuned))
    return tuned


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe as `everfeed run --recipe` reads it: whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(recipe.model_dump_json(indent=2) + "\n")
    partial.replace(path)


def counts_of(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """Return how many trials are complete, pruned and failed."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
    return {state.value: sum(trial.state == state for trial in trials) for state in states}


def words_of(tuned: Tuned) -> str:
    """Return in a sentence what a search brought, and how much was tried for it."""
    counts = ", ".join(f"{number} {state}" for state, number in counts_of(tuned.trials).items() if number)
    base = tuned.base
    against = f" against {base.objective:.4f} of the recipe as it was" if base and base.objective is not None else ""
    return (
        f"trial {tuned.best.number} is the best of {len(tuned.trials)} ({counts}): validation {OBJECTIVE} "
        f"{tuned.best.objective:.4f}{against}"
    )


def _best(trials: Sequence[TrialRecord], search: Search) -> TrialRecord:
    reached = [(trial.objective, -trial.number, trial) for trial in trials if trial.state == TrialState.COMPLETE]
    if not reached:
        platform().tracker.finish(search.run_id, status="FAILED")
        reasons = "; ".join(sorted({trial.words.rstrip(".") for trial in trials}))[:1000]
        raise TrainingError(
            f"none of the {len(trials)} trials came to its end: {reasons}. Change the recipe or the space."
        )
    return max(reached)[2]


def _as_csv(trials: Sequence[TrialRecord]) -> str:
    paths = sorted({path for trial in trials for path in trial.values})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", f"validation_{OBJECTIVE}", "epochs", *paths, "reason"])
    for one in trials:
        values = [json.dumps(one.values[path]) for path in paths if path in one.values]
        writer.writerow([one.number, one.state, one.objective, len(one.by_epoch), *values, one.words])
    return text.getvalue()


def _as_markdown(tuned: Tuned, url: str) -> str:
    paths = sorted(tuned.best.values)
    lines = [f"# Search of {tuned.recipe.name}", "", f"{words_of(tuned)}. [MLflow]({url})", ""]
    lines += [f"The recipe is in `{tuned.path}`. The test part was not used.", ""]
    lines += [
        f"| {' | '.join(['trial', 'state', OBJECTIVE, 'epochs', *paths, 'reason'])} |",
        "|---" * (len(paths) + 5) + "|",
    ]
    for one in tuned.trials:
        figure = "" if one.objective is None else f"{one.objective:.4f}"
        values = [_short(one.values.get(path)) for path in paths]
        cells = [str(one.number), one.state, figure, str(len(one.by_epoch)), *values, one.words[:200].replace("|", "/")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
