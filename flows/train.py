"""Snapshot -> candidates: every recipe is trained once a snapshot, its bundle measured, and all of it tracked."""

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import psutil
import pyarrow.compute as pc
from numpy.typing import NDArray
from prefect import flow, task
from prefect.artifacts import create_table_artifact

from flows import progress
from flows.comparison import compare_link, comparison_note, comparison_page
from flows.leakage import read_tables
from flows.references import Candidate, Snapshot, Trained
from flows.retries import is_worth_retrying
from flows.tracked import (
    EVALUATION_FOLDER,
    commit,
    tags_of,
    track_epoch,
    track_evaluation,
    track_trade_offs,
    track_training,
)
from flows.turns import training_turn
from flows.warm_start import find_origin, load_start, since_of, track_start
from flows.wiring import Platform, platform
from infra.tenants import training_slot
from recmodels.bundle import load_bundle, write_bundle
from recmodels.data.schema import ITEM_ID, SAFETY
from recmodels.data.splits import Split, split_interactions
from recmodels.errors import TrainingError
from recmodels.evaluation import plots
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.record import Evaluation
from recmodels.evaluation.slices import groups_of
from recmodels.lineage import Origin
from recmodels.ranker import Ranker
from recmodels.ranking.stage import TrainedStage, train_stage
from recmodels.recipe import Recipe
from recmodels.training import trainer

_TRAINED = "trained.json"
_MEASURED = "measured.json"
_CHECKPOINTS = "checkpoints"
_ADAPTER = "adapter.safetensors"


@flow(name="train", description="Train and evaluate every recipe on one snapshot.", persist_result=False)
def train(snapshot: Snapshot, recipes: list[Recipe], cause: str = "lifecycle") -> list[Candidate]:
    """Return one candidate a recipe; what an earlier run finished is found by its key and not done again.

    Raises:
        SplitError: A recipe's split leaves nothing to train on, or nothing to evaluate.
        TrainingError: A loss was not finite, or the forecast does not fit this machine.
    """
    with training_turn(platform().settings):
        parent = open_run(snapshot, cause)
        candidates = [measure(train_recipe(snapshot, recipe, parent), snapshot) for recipe in recipes]
        compare_candidates(candidates, parent)
    return candidates


@task(name="open lifecycle run", retries=2, retry_delay_seconds=[0.5, 2.0], retry_condition_fn=is_worth_retrying)
def open_run(snapshot: Snapshot, cause: str) -> str:
    """Find or make the MLflow run that all models of this snapshot stand under."""
    tags = {"snapshot": snapshot.fingerprint, "data": snapshot.name, "cause": cause, "commit": commit()}
    tags |= {"expectations": snapshot.expectations}
    tags |= {f"version.{table}": str(version) for table, version in snapshot.versions.items()}
    name = f"{snapshot.name} {snapshot.as_of:%Y-%m-%d} {snapshot.fingerprint[:8]}"
    return platform().tracker.lifecycle_run(snapshot.fingerprint, name=name, tags=tags)


@task(name="train", task_run_name="train {recipe.name}")
def train_recipe(snapshot: Snapshot, recipe: Recipe, parent: str) -> Trained:
    """Train one recipe into a bundle, going on from the last checkpoint of an interrupted run."""
    home = platform()
    origin = find_origin(home, snapshot, recipe)
    key = run_key(recipe, snapshot, origin.parent)
    done = home.settings.runs / key / _TRAINED
    if done.exists():
        return Trained.model_validate_json(done.read_text()).model_copy(update={"was_done": True})
    with training_slot(home.settings.root / "locks", home.settings.quotas):
        return _train_anew(home, snapshot, recipe, origin, key=key, parent=parent)


def _train_anew(
    home: Platform, snapshot: Snapshot, recipe: Recipe, origin: Origin, *, key: str, parent: str
) -> Trained:
    started, folder = perf_counter(), home.settings.runs / key
    run_id = _open_model_run(home, snapshot, recipe, key=key, parent=parent)
    split = read_split(home, snapshot, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    start = load_start(home, origin, split, recipe)
    fitted = _fit(home, recipe, split, start.parent, folder=folder / _CHECKPOINTS, run_id=run_id)
    if fitted.adapter:
        fitted.adapter.save(folder / _ADAPTER)
    stage = _fit_stage(home, snapshot, recipe, split)
    metrics = fitted.metrics | (stage.metrics if stage else {})
    digest = _write_bundle(home, snapshot, recipe, split, replace(fitted, metrics=metrics), stage)
    trained = Trained(
        recipe=recipe,
        key=key,
        run_id=run_id,
        parent_id=parent,
        digest=digest,
        validation=metrics,
        best_epoch=fitted.best_epoch,
        seconds=round(perf_counter() - started, 2),
        origin=start.words,
        was_done=False,
    )
    track_training(home, trained, fitted.epochs)
    track_start(home, run_id, start.words, fitted.warm_start)
    _write(folder / _TRAINED, trained.model_dump_json())
    return trained


def _open_model_run(home: Platform, snapshot: Snapshot, recipe: Recipe, *, key: str, parent: str) -> str:
    """Find or make the MLflow run of a recipe, with what it is trained from."""
    run_id = home.tracker.model_run(key, parent=parent, name=recipe.name, tags=tags_of(recipe, snapshot))
    home.tracker.log_recipe(run_id, recipe.model_dump(mode="json"))
    home.tracker.log_data_set(
        run_id,
        name=snapshot.name,
        digest=snapshot.fingerprint,
        source=f"{home.settings.lake}/interactions@{snapshot.versions['interactions']}",
    )
    return run_id


def _fit(
    home: Platform, recipe: Recipe, split: Split, parent: trainer.Parent | None, *, folder: Path, run_id: str
) -> trainer.Trained:
    """Train, with every epoch tracked and every step shown."""
    return trainer.train(
        recipe,
        split,
        checkpoint_folder=folder,
        seed=recipe.seed,
        parent=parent,
        memory_bytes=psutil.virtual_memory().available,
        disk_bytes=psutil.disk_usage(str(folder.parent)).free,
        on_epoch=lambda epoch: track_epoch(home, run_id, epoch),
        on_forecast=lambda forecast: home.tracker.set_tags(run_id, {"forecast": forecast.words}),
        on_step=lambda done, total: progress.report(f"train {recipe.name}", done, total),
    )


def _fit_stage(home: Platform, snapshot: Snapshot, recipe: Recipe, split: Split) -> TrainedStage | None:
    """Train the second stage that the recipe asks for, on the exposures of the same snapshot."""
    if recipe.ranking is None:
        return None
    return train_stage(recipe.ranking, read_tables(home, snapshot), split, seed=recipe.seed)


def _write_bundle(
    home: Platform,
    snapshot: Snapshot,
    recipe: Recipe,
    split: Split,
    fitted: trainer.Trained,
    stage: TrainedStage | None,
) -> str:
    if not home.lake.is_readable("interactions", snapshot.versions["interactions"]):
        raise TrainingError(
            f"a person was erased from the lake while {recipe.name} was trained on version "
            f"{snapshot.versions['interactions']} of it, so the model is not kept. Train again on the newest version."
        )
    return write_bundle(
        home.settings.bundles,
        scorer=fitted.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot=snapshot.fingerprint,
        trained_until=split.train_until,
        metrics=fitted.metrics,
        probes=split.train,
        weights=fitted.weights,
        warm_start=fitted.warm_start,
        ranking=stage.model if stage else None,
    )


@task(name="evaluate", task_run_name="evaluate {trained.recipe.name}")
def measure(trained: Trained, snapshot: Snapshot) -> Candidate:
    """Evaluate a bundle on the test part, through the path that serves it."""
    home = platform()
    done = home.settings.runs / trained.key / _MEASURED
    if done.exists():
        return Candidate.model_validate_json(done.read_text()).model_copy(update={"was_done": trained.was_done})
    split = read_split(home, snapshot, trained.recipe)
    evaluation = evaluate_bundle(home, trained.digest, trained.recipe, split, since=since_of(home, trained.digest))
    folder = done.with_name(EVALUATION_FOLDER)
    evaluation.save(folder)
    track_trade_offs(home, trained, split)
    track_evaluation(home, trained, snapshot, evaluation)
    candidate = Candidate(**trained.model_dump(), evaluation=folder, metrics=evaluation.metrics)
    _write(done, candidate.model_dump_json())
    return candidate


@task(name="compare candidates")
def compare_candidates(candidates: list[Candidate], parent: str) -> None:
    """Draw all models into one picture, and leave a table a person would open."""
    home = platform()
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "recall_by_k.png"
        plots.recall_by_k({c.recipe.name: Evaluation.load(c.evaluation) for c in candidates}, path)
        home.tracker.log_file(parent, path, folder="plots")
    best = max(candidates, key=lambda candidate: candidate.validation["ndcg_at_10"])
    home.tracker.set_tags(parent, {"best": best.recipe.name, "best.ndcg_at_10": f"{best.metrics['ndcg_at_10']:.4f}"})
    _show_comparison(home, candidates, parent)
    home.tracker.finish(parent)
    create_table_artifact(
        key="candidates",
        table=[
            {
                "model": candidate.recipe.name,
                "validation ndcg@10": round(candidate.validation["ndcg_at_10"], 4),
                "test ndcg@10": round(candidate.metrics["ndcg_at_10"], 4),
                "test recall@10": round(candidate.metrics["recall_at_10"], 4),
                "coverage@10": round(candidate.metrics["coverage_at_10"], 4),
                "seconds": candidate.seconds,
                "bundle": candidate.digest[:12],
                "MLflow": f"{home.settings.mlflow_ui_url}/#/runs/{candidate.run_id}",
            }
            for candidate in candidates
        ],
        description="Every model of this snapshot",
    )


def _show_comparison(home: Platform, candidates: list[Candidate], parent: str) -> None:
    """Put the comparison where a person looks: the run's description, a page among its files, the experiment's link."""
    base, tracker = home.settings.mlflow_ui_url, home.tracker
    link = compare_link(base, tracker.experiment_id, [one.run_id for one in candidates])
    note = comparison_note(candidates, link, base=base)
    tracker.describe(parent, note)
    tracker.log_text(parent, comparison_page(candidates, link), file="comparison.html")
    for place, one in enumerate(sorted(candidates, key=lambda one: -one.validation["ndcg_at_10"]), start=1):
        tracker.set_tags(one.run_id, {"compare": link, "validation.place": f"{place} of {len(candidates)}"})
    tracker.describe_experiment(f"The newest snapshot:\n\n{note}")


def run_key(recipe: Recipe, snapshot: Snapshot, parent: str = "") -> str:
    """Return the identity of a run: the same recipe on the same data, from the same parent, is the same run."""
    return hashlib.sha256(f"{recipe.digest}:{snapshot.fingerprint}{parent}".encode()).hexdigest()[:32]


def read_split(home: Platform, snapshot: Snapshot, recipe: Recipe) -> Split:
    """Read the lake at the snapshot's versions and divide it as the recipe asks."""
    return split_interactions(
        home.lake.read("interactions", version=snapshot.versions["interactions"], start=snapshot.start),
        home.lake.read("items", version=snapshot.versions["items"]),
        data=recipe.data,
        split=recipe.split,
        is_order_only=snapshot.is_order_only,
    )


def evaluate_bundle(
    home: Platform, digest: str, recipe: Recipe, split: Split, *, since: datetime | None = None
) -> Evaluation:
    """Evaluate any bundle on the test part of a split, whatever vocabulary it was trained with.

    Args:
        home: Where it is.
        digest: The bundle.
        recipe: Says how to evaluate.
        split: Its test part is asked.
        since: Of a warm start that takes part in the comparison; see `evaluate`.
    """
    return evaluate(
        Ranker(load_bundle(home.settings.bundles, digest), home.settings.safety),
        split.test,
        config=recipe.evaluation,
        seed=recipe.seed,
        vocabulary=split.vocabulary,
        since=since,
        groups=_groups(home, recipe, split),
        blocked=pc.filter(split.items[ITEM_ID], pc.equal(split.items[SAFETY], "blocked")).to_pylist(),
        on_progress=lambda done, total: progress.report(f"evaluate {recipe.name}", done, total),
    )


def _groups(home: Platform, recipe: Recipe, split: Split) -> dict[str, NDArray[np.str_]]:
    """Return the groups of the test users that the recipe asks for."""
    names = recipe.evaluation.user_groups
    return groups_of(home.lake.read("users"), split.test.user_ids, names) if names else {}


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)
