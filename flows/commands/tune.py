"""`everfeed tune`: a search for hyper-parameters, which leaves the best recipe as a file."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson, Options, pairs


def tune(
    search: Annotated[
        Path,
        typer.Argument(
            metavar="SEARCH.json",
            help='JSON file with a recipe and the fields of it that vary, such as {"recipe": {"name": "first", '
            '"model": {"name": "sasrec"}}, "trials": 20, "space": {"trainer.learning_rate": {"kind": "log", '
            '"low": 0.0001, "high": 0.01}, "model.config.num_layers": {"kind": "int", "low": 1, "high": 3}}}. '
            "Kinds: uniform, log, int, choice.",
        ),
    ],
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, instead of the file's number; a higher one goes on.", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the best recipe to this file; it is kept in the home anyway.")
    ] = None,
    source: Annotated[str, typer.Option(help="What reads the data; the home's lake if left out.")] = "",
    path: Annotated[Path | None, typer.Option(help="File or folder that the source reads.")] = None,
    option: Options = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Search for the hyper-parameters with the highest validation ndcg_at_10; the test part is never looked at.

    Every trial is a run in MLflow; one that falls behind is given up early. Started again after an interruption, the
    search goes on with the trial that it was in. `everfeed run --recipe` trains and evaluates what was found.
    """
    if bool(source) != (path is not None):
        raise typer.BadParameter("give --source and --path together, or neither for the home's lake.")
    settings = read_settings()
    from flows.searches import SearchRequest, run_search

    request = SearchRequest(
        file=search, trials=trials or 0, out=out, source=source, path=path or Path(), options=pairs(option)
    )
    answer(run_search(settings, request, screen=screen), as_json=as_json)
