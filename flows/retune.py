"""Another release of a model that exists: other re-ranking or utility, evaluated and gated, and nothing trained."""

from contextlib import nullcontext
from time import perf_counter

from prefect import flow, task

from flows import progress
from flows.canary import start_canary
from flows.compare import find_run, read_contender
from flows.references import Release, Snapshot, Trained
from flows.release import register
from flows.services import stack_up
from flows.tracked import tags_of, track_training
from flows.train import measure, open_run, run_key
from flows.validate import read_data_set, snapshot_of
from flows.wiring import Platform, connect, platform
from infra.processes import is_up
from infra.settings import Settings
from monitoring.canary.arms import CanaryConfig
from recmodels.bundle import released
from recmodels.errors import RecipeError
from recmodels.manifest import verify
from recmodels.recipe import Recipe, override

_CAUSE = "retune"


def retune_model(settings: Settings, model: str, changes: list[str]) -> Release:
    """Make the release, ask the gate about it and, where it passes, start its rollout.

    Args:
        settings: Of the home; its stack is held up for the run where it is not up.
        model: A name that `everfeed compare` knows.
        changes: `path=value` below `reranking` and `ranking.utility` of the model's recipe.

    Raises:
        EverfeedError: The model or a change is at fault; the message says what to do.
    """
    home = connect(settings)
    changed_recipe(home, model, changes)  # refused before anything is started
    with nullcontext() if is_up(settings) else stack_up(settings):
        return retune(model, changes)


@flow(name="retune", description="Release a model with other re-ranking or utility.", persist_result=False)
def retune(model: str, changes: list[str]) -> Release:
    """Return what the gate said; the rollout of what it let through has begun."""
    home = platform()
    held = read_data_set(home)
    snapshot = snapshot_of(home, name=held.name, is_order_only=held.is_order_only)
    parent = open_run(snapshot, _CAUSE)
    candidate = measure(release_again(snapshot, model, changes, parent), snapshot)
    decided = register(snapshot, candidate, [candidate], is_forced=False)
    if decided.challenger is not None:
        start_canary(decided, CanaryConfig(), _CAUSE)
    return decided


@task(name="release again")
def release_again(snapshot: Snapshot, model: str, changes: list[str], parent: str) -> Trained:
    """Write the bundle of the release and its run in MLflow."""
    home, started = platform(), perf_counter()
    digest, recipe = changed_recipe(home, model, changes)
    utility = recipe.ranking.utility if recipe.ranking else None
    again = released(home.settings.bundles, digest, reranking=recipe.reranking, utility=utility)
    key = run_key(recipe, snapshot, digest)
    run_id = home.tracker.model_run(key, parent=parent, name=recipe.name, tags=tags_of(recipe, snapshot))
    home.tracker.log_recipe(run_id, recipe.model_dump(mode="json"))
    (home.settings.runs / key).mkdir(parents=True, exist_ok=True)
    trained = Trained(
        recipe=recipe,
        key=key,
        run_id=run_id,
        parent_id=parent,
        digest=again,
        validation=verify(home.settings.bundles, again).metrics,
        best_epoch=0,
        seconds=round(perf_counter() - started, 2),
        origin=f"released again from {digest[:12]}",
        was_done=False,
    )
    track_training(home, trained, [])
    progress.report(f"release {recipe.name}", 1, 1)
    return trained


def changed_recipe(home: Platform, model: str, changes: list[str]) -> tuple[str, Recipe]:
    """Return a model's bundle and its recipe with the changes.

    Raises:
        StoreError: The name means no measured model.
        RecipeError: A change is of something that needs a training, or changes nothing.
    """
    run = find_run(home, model)
    found = read_contender(home, run).recipe
    changed = override(found, changes)
    if _trained_part(changed) != _trained_part(found):
        raise RecipeError(
            f"{', '.join(changes)} would change what was trained; a release of the same model can differ in reranking "
            "and ranking.utility alone. Train with `everfeed run` for anything else."
        )
    if changed == found:
        raise RecipeError(f"{model} is released with this already. Give --set reranking... or --set ranking.utility...")
    return run.tags["bundle"], changed


def _trained_part(recipe: Recipe) -> dict[str, object]:
    whole = recipe.model_dump(mode="json", exclude={"reranking": True, "ranking": {"utility"}})
    return dict(whole)
