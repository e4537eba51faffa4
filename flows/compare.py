"""Two models by any of their names -> their evaluations -> a verdict, a picture and a document."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flows.tracked import EVALUATION_FOLDER
from flows.train import evaluate_bundle, read_split
from flows.validate import read_data_set, snapshot_of
from flows.wiring import Platform
from infra.model_registry import CHALLENGER, CHAMPION, Registered
from infra.tracking import TrackedRun
from recmodels.errors import RecipeError, StoreError
from recmodels.evaluation import plots
from recmodels.evaluation.comparison import Comparison
from recmodels.evaluation.contest import Contender, Contest, contest
from recmodels.evaluation.record import Evaluation
from recmodels.manifest import verify
from recmodels.recipe import Recipe, parse_recipe

_RECIPE: Final = "recipe.json"
_BUNDLE_TAG: Final = "bundle"
_SNAPSHOT_TAG: Final = "snapshot"
_VERSION: Final = re.compile(r"v?([0-9]{1,7})")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{8,64}")
_HOW = (
    "Give a version such as 3, the id of a model's MLflow run, the first 8 or more characters of a bundle's digest, "
    "champion, or challenger."
)


def compare_models(
    home: Platform, candidate: str, baseline: str, *, metric: str = "", is_anew: bool = False
) -> Contest:
    """Compare two models, each by any of its names.

    Args:
        home: The stores.
        candidate: The verdict is about this one.
        baseline: What it is compared with.
        metric: Decides; the metric of the candidate's gate if empty.
        is_anew: Measure both bundles on the test part of what is in the lake now, as the candidate's recipe divides it,
            instead of reading what was kept when each was trained.

    Raises:
        StoreError: A name means no measured model.
        DataError: The two were not judged on the same queries.
    """
    runs = find_run(home, candidate), find_run(home, baseline)
    first, second = (read_contender(home, run) for run in runs)
    if is_anew:
        first, second = _measured_anew(home, (first, second), runs)
    rules = first.recipe.evaluation
    return contest(
        first,
        second,
        metric=metric,
        samples=rules.bootstrap_samples,
        confidence=rules.confidence,
        seed=first.recipe.seed,
    )


def find_run(home: Platform, name: str) -> TrackedRun:
    """Return the MLflow run that made a model.

    Args:
        home: The stores.
        name: A version, a run id, the beginning of a bundle's digest, ``champion`` or ``challenger``.

    Raises:
        StoreError: The name means no model, or more than one.
    """
    if name in (CHAMPION, CHALLENGER):
        return _run_of_version(home, _serving_version(home, name))
    if match := _VERSION.fullmatch(name):
        return _run_of_version(home, int(match.group(1)))
    if not _HEXADECIMAL.fullmatch(name):
        raise StoreError(f"{name!r} is no name of a model. {_HOW}")
    if run := home.tracker.find(name):
        return run
    runs = home.tracker.tagged(_BUNDLE_TAG, name)
    if len({run.tags[_BUNDLE_TAG] for run in runs}) > 1:
        raise StoreError(f"{name!r} is the beginning of more than one bundle's digest. Give more of its characters.")
    if not runs:
        raise StoreError(f"no run and no bundle of this home is called {name!r}. {_HOW}")
    return runs[0]


def read_contender(home: Platform, run: TrackedRun) -> Contender:
    """Read what a run keeps of its model's evaluation.

    Raises:
        StoreError: The run has none, as that of a lifecycle or of a training that did not end.
    """
    with TemporaryDirectory() as scratch:
        try:
            recipe = home.tracker.fetch(run.run_id, _RECIPE, to=Path(scratch))
            folder = home.tracker.fetch(run.run_id, EVALUATION_FOLDER, to=Path(scratch))
        except StoreError as error:
            raise StoreError(
                f"run {run.run_id} ({run.name}) keeps no evaluation; it is the run of a whole lifecycle, or its "
                f"training did not end. Choose the run of a model. ({error})"
            ) from error
        return Contender(
            name=f"{run.name} ({run.run_id[:8]})",
            evaluation=Evaluation.load(folder),
            recipe=_read_recipe(recipe, run),
            snapshot=run.tags.get(_SNAPSHOT_TAG, "unknown"),
        )


def document_of(found: Contest, *, picture: Path) -> dict[str, Any]:
    """Return a contest as one JSON document; a share of a baseline of 0 is null."""
    return {
        "verdict": found.decisive.verdict,
        "words": found.words,
        "candidate": found.candidate,
        "baseline": found.baseline,
        "metric": found.metric,
        "cautions": list(found.cautions),
        "metrics": {name: _figures(one) for name, one in found.comparisons.items()},
        "without_interval": {
            name: {"candidate": own, "baseline": other} for name, (own, other) in found.without_interval.items()
        },
        "plot": str(picture),
    }


def draw(home: Platform, found: Contest, runs: tuple[str, str]) -> Path:
    """Draw a contest into the home's reports and return the file, which is named for both models."""
    path = home.settings.reports / "comparisons" / f"{'_against_'.join(runs)}.png"
    plots.intervals_of_contest(found, path)
    return path


def lines_of(found: Contest) -> list[str]:
    """Return what a person reads: the verdict, what to be careful about, slices, and every other metric."""
    decisive = found.decisive
    others = [one for name, one in found.comparisons.items() if name != found.metric]
    lines = [found.words, *(f"caution: {words}" for words in found.cautions)]
    lines += [f"   {name}: {one.words}" for name, one in decisive.slices.items()]
    lines += [f"   {one.words}" for one in others]
    return lines + [f"   {name} {own:.4f} against {other:.4f}" for name, (own, other) in found.without_interval.items()]


def _figures(one: Comparison) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(one).items() if name not in ("slices", "metric", "is_same_queries")}
    plain |= {"verdict": one.verdict, "relative": one.relative if math.isfinite(one.relative) else None}
    return plain | ({"slices": {name: _figures(part) for name, part in one.slices.items()}} if one.slices else {})


def _measured_anew(
    home: Platform, contenders: tuple[Contender, Contender], runs: tuple[TrackedRun, TrackedRun]
) -> tuple[Contender, ...]:
    """Measure both bundles on the newest data, as the first one's recipe divides it."""
    held = read_data_set(home)
    snapshot = snapshot_of(home, name=held.name, is_order_only=held.is_order_only)
    recipe: Recipe = contenders[0].recipe
    split = read_split(home, snapshot, recipe)
    judged_from = split.validation_until if recipe.split.kind == "time" else None
    return tuple(
        Contender(
            name=one.name,
            evaluation=evaluate_bundle(home, run.tags[_BUNDLE_TAG], recipe, split),
            recipe=recipe,
            snapshot=snapshot.fingerprint,
            learned_until=verify(home.settings.bundles, run.tags[_BUNDLE_TAG]).trained_until,
            judged_from=judged_from,
        )
        for one, run in zip(contenders, runs, strict=True)
    )


def _serving_version(home: Platform, name: str) -> int:
    if name == CHAMPION:
        champion = home.rollouts.champion()
        if champion is None:
            raise StoreError(f"there is no champion yet. Run a lifecycle with `everfeed run`, or name a model. {_HOW}")
        return champion.version
    active = home.rollouts.active()
    if active is None:
        raise StoreError(f"no rollout is active, so there is no challenger. {_HOW}")
    return active.challenger.version


def _run_of_version(home: Platform, version: int) -> TrackedRun:
    known: list[Registered] = home.registry.versions()
    registered = next((one for one in known if one.version == version), None)
    run = home.tracker.find(registered.run_id) if registered and registered.run_id else None
    if run is None:
        numbers = ", ".join(str(one.version) for one in reversed(known)) or "none"
        raise StoreError(f"version {version} is not known, or its run was deleted. Known versions: {numbers}. {_HOW}")
    return run


def _read_recipe(path: Path, run: TrackedRun) -> Recipe:
    try:
        return parse_recipe(json.loads(path.read_text()))
    except RecipeError as error:
        raise StoreError(
            f"the recipe of run {run.run_id} ({run.name}) is of another version of Everfeed: {error} Train it again."
        ) from error
