"""`everfeed analyze`: analyses of the home's lake or of somebody's own data, on a stack that is up or held up."""

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console

from flows import progress
from flows.analyze import analyze, document_of, lines_of
from flows.ingest import ingest
from flows.runs import require_source, seconds
from flows.services import stack_up
from flows.validate import read_data_set, validate
from flows.wiring import connect
from infra.processes import is_up
from infra.settings import Settings
from monitoring.analysis.scope import Config
from recmodels.errors import DataError, StoreError


@dataclass(frozen=True)
class AnalysisRequest:
    """What the command line asked for; empty fields mean the default.

    Attributes:
        start: First moment of the span.
        end: First moment after it.
        days: Its length where `start` is left out.
        window_days: Of each of the two windows that are compared.
        out: Where the report is written besides the home.
        source: What reads the data; the home's lake if empty.
        path: What the source reads.
        options: Of the source.
    """

    start: datetime | None = None
    end: datetime | None = None
    days: int = 28
    window_days: int = 7
    out: Path | None = None
    source: str = ""
    path: Path = Path()
    options: Mapping[str, JsonValue] = field(default_factory=dict)


def run_analysis(settings: Settings, request: AnalysisRequest, *, screen: Console) -> dict[str, Any]:
    """Analyse, print the findings, and return them.

    Raises:
        EverfeedError: The request or the data is at fault; the message says what to do.
    """
    _require(settings, request)
    config = Config(days=request.days, window_days=request.window_days)
    with progress.shown_on(screen) as terminal, nullcontext() if is_up(settings) else stack_up(settings):
        if request.source:
            with progress.stage("ingest"):
                validate(ingest(request.source, request.path, dict(request.options)))
        with progress.stage("analyze"):
            found = analyze(request.start, request.end, config)
    document = document_of(found) | {"seconds": seconds(terminal)}
    if request.out:
        document |= {"report": str(_copied(found.report, request.out))}
    for line in lines_of(found):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    return document


def _require(settings: Settings, request: AnalysisRequest) -> None:
    """Refuse at once what would be refused after the stack has started."""
    if request.start is not None and request.end is not None and request.start >= request.end:
        raise DataError(
            f"the span from {request.start.isoformat()} to {request.end.isoformat()} is empty. --to must be later."
        )
    if request.source:
        require_source(request.source, request.path)
    else:
        read_data_set(connect(settings))


def _copied(report: Path, out: Path) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report, out)
    except OSError as error:
        raise StoreError(
            f"--out {out} cannot be written ({error.strerror}). The report is {report}; choose another file."
        ) from error
    return out.resolve()
