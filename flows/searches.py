"""`everfeed tune`: a search on the home's lake or on somebody's own data, on a stack that is up or held up for it."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console

from flows import progress
from flows.ingest import ingest
from flows.runs import require_source, seconds
from flows.services import stack_up
from flows.tune import Tuned, counts_of, tune, words_of, write_recipe
from flows.validate import read_data_set, validate
from flows.wiring import connect
from infra.processes import is_up
from infra.settings import Settings
from infra.studies import TrialRecord, TrialState
from recmodels.errors import RecipeError
from recmodels.search import SearchConfig, parse_search

_MOST_SHOWN = 5


@dataclass(frozen=True)
class SearchRequest:
    """What the command line asked for; empty fields mean the default.

    Attributes:
        file: JSON file of the search.
        trials: In all; the file's number if 0.
        out: Where the best recipe is written besides the home.
        source: What reads the data; the home's lake if empty.
        path: What the source reads.
        options: Of the source.
    """

    file: Path
    trials: int = 0
    out: Path | None = None
    source: str = ""
    path: Path = Path()
    options: Mapping[str, JsonValue] = field(default_factory=dict)


def run_search(settings: Settings, request: SearchRequest, *, screen: Console) -> dict[str, Any]:
    """Run a search to its end, and return the summary.

    Raises:
        EverfeedError: The search or the data is at fault; the message says what to do.
    """
    search = read_search(request.file)
    if request.trials:
        search = search.model_copy(update={"trials": request.trials})
    _require_data(settings, request)
    with progress.shown_on(screen) as terminal, nullcontext() if is_up(settings) else stack_up(settings):
        if request.source:
            with progress.stage("ingest"):
                validate(ingest(request.source, request.path, dict(request.options)))
        with progress.stage("search"):
            tuned = tune(search)
    if request.out:
        write_recipe(request.out, tuned.recipe)
    for line in lines_of(tuned, path=request.out or tuned.path):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    return document_of(tuned, path=request.out or tuned.path) | {"seconds": seconds(terminal)}


def read_search(path: Path) -> SearchConfig:
    """Read a search from its JSON file.

    Raises:
        RecipeError: The file cannot be read, or holds no valid search.
    """
    try:
        return parse_search(json.loads(path.read_text()))
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"search {path} cannot be read: {error}. Give a JSON file with recipe, space and trials."
        ) from error


def document_of(tuned: Tuned, *, path: Path) -> dict[str, Any]:
    """Return what a search came to as one JSON document."""
    return {
        "search": tuned.key,
        "run": tuned.run_id,
        "counts": {"trials": len(tuned.trials), **counts_of(tuned.trials)},
        "best": asdict(tuned.best),
        "base": asdict(tuned.base) if tuned.base else None,
        "trials": [asdict(trial) for trial in tuned.trials],
        "recipe": str(path),
    }


def lines_of(tuned: Tuned, *, path: Path) -> list[str]:
    """Return what a person reads: what was found among how many, the best trials, what failed, and what to do next."""
    complete = [trial for trial in tuned.trials if trial.objective is not None and trial.state == TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda trial: (-(trial.objective or 0.0), trial.number))
    failed = [trial for trial in tuned.trials if trial.state == TrialState.FAILED]
    lines = [words_of(tuned), *(f"   {_line(trial)}" for trial in ranked[:_MOST_SHOWN])]
    lines += [f"   trial {trial.number} failed: {trial.words}" for trial in failed[:_MOST_SHOWN]]
    return [
        *lines,
        "The best of many is flattered by the choice; the test part was not used, and says what it is worth:",
        f"everfeed run ... --recipe {path}",
    ]


def _line(trial: TrialRecord) -> str:
    values = ", ".join(
        f"{path}={value:.4g}" if isinstance(value, float) else f"{path}={value}" for path, value in trial.values.items()
    )
    return f"{trial.objective:.4f} trial {trial.number}{' (the recipe as it was)' if trial.is_base else ''}: {values}"


def _require_data(settings: Settings, request: SearchRequest) -> None:
    """Refuse at once what would be refused after the stack has started."""
    if request.source:
        require_source(request.source, request.path)
    else:
        read_data_set(connect(settings))
