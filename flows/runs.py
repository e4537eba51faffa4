"""`everfeed run`: the lifecycle on somebody's own data, on a stack that is up or is held up for the run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import JsonValue
from rich.console import Console

from flows import progress, summary
from flows.lifecycle import Data, Traffic, lifecycle
from flows.monitor import monitor
from flows.replay import REPLAY_CANARY, ReplayConfig
from flows.services import stack_services
from flows.wiring import connect
from infra.processes import is_up
from infra.settings import Settings
from infra.supervisor import running
from monitoring.canary.arms import CanaryConfig
from recmodels.errors import RecipeError, SourceError
from recmodels.presets import PRESETS
from recmodels.recipe import DataConfig, Recipe, override, parse_recipe

_LABELS = {"kuairand": "long_viewed"}
"""What counts as positive where a source's rows are exposures rather than choices."""


@dataclass(frozen=True)
class RunRequest:
    """What the command line asked for; empty fields mean the default."""

    source: str
    path: Path
    options: dict[str, JsonValue] = field(default_factory=dict)
    name: str = ""
    presets: tuple[str, ...] = ()
    recipes: tuple[Path, ...] = ()
    overrides: tuple[str, ...] = ()
    label: str = ""
    traffic: str = "replay"
    visitors: int = 20_000


def run_lifecycle(settings: Settings, request: RunRequest, *, screen: Console) -> dict[str, Any]:
    """Run every stage and the monitor, and return the summary.

    Raises:
        EverfeedError: The request or the data is at fault; the message says what to do.
    """
    started = perf_counter()
    traffic = _traffic(request.traffic)
    recipes = _recipes(request)
    if not request.path.exists():
        raise SourceError(
            f"--path {request.path} does not exist. Give the file or folder that {request.source!r} reads."
        )
    home = connect(settings)
    data = Data(source=request.source, path=request.path, options=request.options, name=request.name)
    canary = REPLAY_CANARY if traffic == Traffic.REPLAY else CanaryConfig()
    with stack(settings), progress.shown_on(screen) as terminal:
        replay = ReplayConfig(visitors=request.visitors)
        outcome = lifecycle(data, recipes, traffic, canary, replay, cause="run")
        with progress.stage("monitor"):
            found = monitor()
    document = summary.summarise(home, outcome) | {"drift": summary.drift(found)}
    document["seconds"] = seconds(terminal, started)
    summary.print_summary(screen, document)
    return document


@contextmanager
def stack(settings: Settings) -> Iterator[None]:
    """Use the stack that is up, or hold one up for the length of a `with` block."""
    services = stack_services(settings, with_schedules=False)
    with nullcontext() if is_up(settings) else running(settings, services):
        yield


def seconds(terminal: progress.Terminal, started: float) -> dict[str, float]:
    """Return the wall seconds of every stage, and the total."""
    stages = {name: round(value, 1) for name, value in terminal.seconds.items()}
    return stages | {"total": round(perf_counter() - started, 1)}


def _traffic(text: str) -> Traffic:
    try:
        return Traffic(text)
    except ValueError as error:
        raise RecipeError(f"--traffic {text!r} is not known. Known: {', '.join(Traffic)}.") from error


def _recipes(request: RunRequest) -> list[Recipe]:
    data = DataConfig.model_validate({"label": request.label or _LABELS.get(request.source, "any")})
    unknown = [name for name in request.presets if name not in PRESETS]
    if unknown:
        raise RecipeError(f"preset {unknown[0]!r} is not known. Known: {', '.join(PRESETS)}.")
    names = request.presets or (() if request.recipes else tuple(PRESETS))
    chosen = [PRESETS[name](data) for name in names] + [_read_recipe(path) for path in request.recipes]
    return [override(recipe, list(request.overrides)) for recipe in chosen]


def _read_recipe(path: Path) -> Recipe:
    try:
        return parse_recipe(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"recipe {path} cannot be read: {error}. Give a JSON file with the fields of a recipe."
        ) from error
