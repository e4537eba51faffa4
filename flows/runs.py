"""`everfeed run`: the lifecycle on somebody's own data, on a stack that is up or is held up for the run."""

import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, get_args

import psutil
from pydantic import JsonValue, ValidationError
from rich.console import Console

from flows import progress, summary
from flows.lifecycle import Data, lifecycle
from flows.monitor import monitor
from flows.references import Traffic
from flows.replay import REPLAY_CANARY, ReplayConfig
from flows.services import stack_up
from flows.wiring import connect
from infra.processes import is_up
from infra.settings import Settings
from monitoring.canary.arms import CanaryConfig
from recmodels.data.sources import SOURCES
from recmodels.errors import RecipeError, SourceError
from recmodels.presets import PRESETS, STANDARD
from recmodels.recipe import DataConfig, Recipe, override, parse_recipe

_LABELS = {"kuairand": "long_viewed"}
"""What counts as positive where a source's rows are exposures rather than choices."""
_WARM = "warm_start.enabled=true"
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class RunRequest:
    """What the command line asked for; empty fields mean the default."""

    source: str
    path: Path = Path()
    options: dict[str, JsonValue] = field(default_factory=dict)
    name: str = ""
    presets: tuple[str, ...] = ()
    recipes: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()
    is_warm: bool = False
    label: str = ""
    traffic: str = "replay"
    visitors: int = 20_000
    replaces: bool = False
    suites: tuple[Path, ...] = ()
    own: tuple[Recipe, ...] = ()
    """Recipes that are at hand already, after those of files."""


def run_lifecycle(settings: Settings, request: RunRequest, *, screen: Console) -> dict[str, Any]:
    """Run every stage and the monitor, and return the summary.

    Raises:
        EverfeedError: The request or the data is at fault; the message says what to do.
    """
    traffic = _traffic(request.traffic)
    recipes = chosen_recipes(request)
    require_source(request.source, request.path)
    home = connect(settings)
    data = Data(
        source=request.source,
        path=request.path,
        options=request.options,
        name=request.name,
        replaces=request.replaces,
        suites=list(request.suites),
    )
    canary = REPLAY_CANARY if traffic == Traffic.REPLAY else CanaryConfig()
    was_up = is_up(settings)
    demo_marker(settings).unlink(missing_ok=True)  # from now on the home holds somebody's own work
    with progress.shown_on(screen) as terminal, nullcontext() if was_up else stack_up(settings):
        replay = ReplayConfig(visitors=request.visitors)
        outcome = lifecycle(data, recipes, traffic, canary, replay, cause="run")
        with progress.stage("monitor"):
            found = monitor()
    document = summary.summarise(home, outcome) | {"drift": summary.drift(found)}
    document["seconds"] = seconds(terminal)
    summary.print_summary(screen, document, stays_up=was_up)
    return document


def demo_marker(settings: Settings) -> Path:
    """Return the file that marks a home as a demo's, which the next demo may empty."""
    return settings.root / "demo"


def seconds(terminal: progress.Terminal) -> dict[str, float]:
    """Return the wall seconds of every stage, and the total since this process began, its imports included."""
    stages = {name: round(value, 1) for name, value in terminal.seconds.items()}
    return stages | {"total": round(time() - psutil.Process().create_time(), 1)}


def require_source(source: str, path: Path) -> None:
    """Refuse at once what would be refused after the stack has started.

    Raises:
        UnknownNameError: No source plug-in has this name.
        SourceError: There is nothing at the path.
    """
    SOURCES.module(source)
    is_pattern = bool(_WILDCARDS & set(str(path)))
    if not is_pattern and not path.exists():
        raise SourceError(f"--path {path} does not exist. Give the file or folder that {source!r} reads.")


def _traffic(text: str) -> Traffic:
    try:
        return Traffic(text)
    except ValueError as error:
        raise RecipeError(f"--traffic {text!r} is not known. Known: {', '.join(Traffic)}.") from error


def chosen_recipes(request: RunRequest) -> list[Recipe]:
    """Return the presets and recipe files that a request names, with its label, its overrides and its warm start.

    Raises:
        RecipeError: A preset, a label or a field is unknown, or a file is no recipe.
    """
    data = _data_config(request.label or _LABELS.get(request.source, "any"))
    unknown = [name for name in request.presets if name not in PRESETS]
    if unknown:
        raise RecipeError(f"preset {unknown[0]!r} is not known. Known: {', '.join(PRESETS)}.")
    names = request.presets or (() if request.recipes or request.own else STANDARD)
    chosen = [PRESETS[name](data) for name in names] + [_read_recipe(path) for path in request.recipes]
    chosen += request.own
    settings = [*request.overrides, *([_WARM] if request.is_warm else [])]
    recipes = [override(recipe, settings) for recipe in chosen]
    if refitted := [recipe.name for recipe in recipes if recipe.refit]:
        raise RecipeError(
            f"refit is set in {', '.join(refitted)}, but what a lifecycle deploys is the bundle that it "
            "evaluated. Set refit to false; benchmarks refit to compare with papers."
        )
    return recipes


def _data_config(label: str) -> DataConfig:
    try:
        return DataConfig.model_validate({"label": label})
    except ValidationError as error:
        known = ", ".join(get_args(DataConfig.model_fields["label"].annotation))
        raise RecipeError(f"--label {label!r} is not known. Known: {known}.") from error


def _read_recipe(path: Path) -> Recipe:
    try:
        return parse_recipe(json.loads(path.read_text()))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"recipe {path} cannot be read: {error}. Give a JSON file with the fields of a recipe."
        ) from error
