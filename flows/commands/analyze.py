"""`everfeed analyze`: what people do, like and turn to, as a report to open."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import answer, read_moment, read_settings, screen
from flows.options import AsJson, Options, pairs


def analyze(
    start: Annotated[
        str, typer.Option("--from", help="First moment, such as 2026-03-01; --days before the end if left out.")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", help="First moment after the span; just after the newest event if left out.")
    ] = "",
    days: Annotated[int, typer.Option(help="Length of the span, where --from is left out.", min=1)] = 28,
    window: Annotated[int, typer.Option(help="Days of each of the two windows that are compared.", min=1)] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Also write the report to this file; it is kept in the home anyway.")
    ] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    source: Annotated[str, typer.Option(help="What reads the data; the home's lake if left out.")] = "",
    path: Annotated[Path | None, typer.Option(help="File or folder that the source reads.")] = None,
    option: Options = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Say what rises, what people like and finish, how they come back, and how they move between surfaces.

    The answer is one HTML file without any raw user id, and a run in MLflow with the tables. Every figure carries an
    interval over people. Nothing is decided or trained.
    """
    if bool(source) != (path is not None):
        raise typer.BadParameter("give --source and --path together, or neither for the home's lake.")
    first, last = read_moment(start) if start else None, read_moment(end) if end else None
    settings = read_settings()
    from flows.analyses import AnalysisRequest, run_analysis

    request = AnalysisRequest(
        start=first,
        end=last,
        days=days,
        window_days=window,
        out=out,
        source=source,
        path=path or Path(),
        options=pairs(option),
    )
    document = run_analysis(settings, request, screen=screen)
    if is_opened:
        typer.launch(Path(document["report"]).as_uri())
    answer(document, as_json=as_json)
