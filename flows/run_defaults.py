"""What `everfeed run` runs: its options, and where they say nothing, what the project's file says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from flows.datasets import fetch_ml_100k
from flows.runs import RunRequest
from infra.project_file import BUNDLED
from infra.settings import Settings
from recmodels.errors import SourceError
from recmodels.spelling import did_you_mean

_BUNDLED: Final[dict[str, Callable[[Settings], Path]]] = {"ml-100k": fetch_ml_100k}


def filled(settings: Settings, request: RunRequest, *, path: Path | None, visitors: int | None) -> RunRequest:
    """Return a request without gaps.

    The data is the options' or the file's as a whole, and so are the models.

    Args:
        settings: With what the project's file says.
        request: What the options say.
        path: The data's place that the options name, if they do.
        visitors: The most visitors that the options name, if they do.

    Raises:
        SourceError: Neither says where the data is, only half of it is named, or there is no such bundled data set.
    """
    defaults = settings.run
    if not (request.presets or request.recipes):
        request = replace(request, presets=defaults.presets, recipes=defaults.recipes)
    request = replace(request, visitors=visitors or defaults.visitors)
    if request.source or path is not None:
        if not request.source or path is None:
            raise SourceError("give --source and --path together: what reads the data, and where it is.")
        return replace(request, path=fetched(settings, str(path)))
    if not (defaults.source and defaults.path):
        raise SourceError(
            "nothing says what to run: give --source and --path, or write `source` and `path` below [run] in an "
            "everfeed.toml of the working directory or one above it, as `everfeed init DIR` does."
        )
    return replace(
        request,
        source=defaults.source,
        path=fetched(settings, defaults.path),
        options=defaults.options | request.options,
        name=request.name or defaults.name,
        label=request.label or defaults.label,
        suites=request.suites or defaults.suites,
    )


def fetched(settings: Settings, path: str) -> Path:
    """Return where data is; a data set of the package index is downloaded at the first use.

    Raises:
        SourceError: No such data set is known, or the package index cannot be reached.
    """
    if not path.startswith(BUNDLED):
        return Path(path)
    name = path.removeprefix(BUNDLED)
    if name not in _BUNDLED:
        raise SourceError(f"no data set {path!r}.{did_you_mean(name, _BUNDLED)} Known: {', '.join(_BUNDLED)}.")
    return _BUNDLED[name](settings)
