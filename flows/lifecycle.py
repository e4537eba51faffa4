"""ingest -> validate -> train -> release -> canary: the whole way of a model, once."""

from pathlib import Path

from prefect import flow, task
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from flows.canary import start_canary
from flows.collect import collect
from flows.failures import explained
from flows.ingest import ingest
from flows.progress import stage
from flows.references import Candidate, Reference, Release, Rolled, Snapshot, Traffic
from flows.release import release
from flows.replay import REPLAY_CANARY, ReplayConfig, replay_until_decided
from flows.train import train
from flows.validate import validate
from flows.wiring import platform
from monitoring.canary.arms import CanaryConfig
from recmodels.presets import presets
from recmodels.recipe import Recipe

_RECIPES = TypeAdapter(list[Recipe])


class LifecycleOutcome(Reference):
    """What one lifecycle came to."""

    snapshot: Snapshot
    candidates: tuple[Candidate, ...]
    release: Release
    rollout: Rolled | None


class Data(BaseModel):
    """Where new data comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """Source plug-in."""
    path: Path
    """File or folder."""
    options: dict[str, JsonValue] = {}
    """The plug-in's options."""
    name: str = ""
    """Name of the data set, where it is not the source's own."""
    sample: float = 1.0
    """Share of the users to keep."""
    replaces: bool = False
    """The rows are all there is of their days, as in a backfill; otherwise they join what the lake has."""
    suites: list[Path] = []
    """Files, or folders of files, with suites of the user's own."""


@flow(name="lifecycle", description="From a source to a decided, or started, canary.", persist_result=False)
@explained("lifecycle")
def lifecycle(
    data: Data,
    recipes: list[Recipe],
    traffic: Traffic = Traffic.REPLAY,
    canary: CanaryConfig = REPLAY_CANARY,
    replay: ReplayConfig = ReplayConfig(),  # noqa: B008 - frozen
    cause: str = "lifecycle",
) -> LifecycleOutcome:
    """Run every stage once; started again after an interruption, it goes on where it stopped."""
    with stage("ingest"):
        batch = ingest(data.source, data.path, data.options, data.name, data.sample, data.replaces, data.suites)
    with stage("validate"):
        snapshot = validate(batch)
    remember(recipes)
    return improve(snapshot, recipes, traffic, canary, replay, cause)


@flow(name="daily", description="The lifecycle on what is in the lake, with live events collected first.")
@explained("daily")
def daily(
    recipes: list[Recipe] | None = None,
    traffic: Traffic = Traffic.LIVE,
    canary: CanaryConfig = CanaryConfig(),  # noqa: B008 - frozen
    cause: str = "schedule",
) -> LifecycleOutcome:
    """Collect what the gateway saw, then train on the lake; the last run's recipes when none is given."""
    snapshot = collect()
    return improve(snapshot, recipes or remembered(), traffic, canary, ReplayConfig(), cause)


@task(name="remember recipes")
def remember(recipes: list[Recipe]) -> None:
    """Keep the recipes of a run for the daily lifecycle: its label and its models are the home's."""
    path = platform().settings.recipes
    partial = path.with_suffix(".partial")
    partial.write_bytes(_RECIPES.dump_json(recipes, indent=2))
    partial.replace(path)


@task(name="read recipes")
def remembered() -> list[Recipe]:
    """Return the recipes of the last run, or the standard presets before the first."""
    path = platform().settings.recipes
    return _RECIPES.validate_json(path.read_bytes()) if path.exists() else presets()


@flow(name="improve", description="Train, release, and put the challenger on its way.", persist_result=False)
def improve(
    snapshot: Snapshot,
    recipes: list[Recipe],
    traffic: Traffic,
    canary: CanaryConfig,
    replay: ReplayConfig,
    cause: str,
) -> LifecycleOutcome:
    """Train on a snapshot, release the best, and start its canary."""
    with stage("train and evaluate"):
        candidates = train(snapshot, recipes, cause)
    with stage("release"):
        released = release(snapshot, candidates)
    with stage("canary"):
        rolled = roll_out(snapshot, released, traffic, canary, replay, cause) if released.challenger else None
    return LifecycleOutcome(snapshot=snapshot, candidates=tuple(candidates), release=released, rollout=rolled)


@flow(name="roll out", description="Start a canary and, in a replay, see it to its end.", persist_result=False)
def roll_out(
    snapshot: Snapshot, released: Release, traffic: Traffic, canary: CanaryConfig, replay: ReplayConfig, cause: str
) -> Rolled | None:
    """Start the challenger's rollout; live traffic is judged by scheduled looks, a replay here and now."""
    assert released.challenger is not None, "there is a challenger to roll out"
    rollout_id = start_canary(released, canary, cause)
    if traffic == Traffic.LIVE:
        return None
    return replay_until_decided(snapshot, released.challenger.recipe, rollout_id, replay)
