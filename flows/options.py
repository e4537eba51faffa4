"""What the commands take: each option with the help that a newcomer reads."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document as the last line of standard output.")]
Source = Annotated[
    str,
    typer.Option(help="What reads the data: movielens, kuairand, parts, sequences, table (Parquet, CSV) or synthetic."),
]
DataPath = Annotated[
    Path | None,
    typer.Option(help="File or folder to read; `table` also takes a quoted pattern, such as 'events/*.csv'."),
]
Options = Annotated[
    list[str], typer.Option("--option", help="Option of the source, such as timestamp_unit=s. Repeatable.")
]
Presets = Annotated[
    list[str],
    typer.Option(
        help="Model to train: popularity, item_knn, ease, sasrec, esasrec, gru, nextitnet, hstu, two_tower, ials. "
        "Repeatable; the first four if left out.",
    ),
]
Recipes = Annotated[list[Path], typer.Option(help="JSON file with a recipe of your own to train. Repeatable.")]
Overrides = Annotated[
    list[str], typer.Option("--set", help="Change a field of every recipe, such as trainer.epochs=3. Repeatable.")
]
WarmStart = Annotated[
    bool,
    typer.Option(
        "--warm-start",
        help="Go on from the champion's weights where a recipe's model has them, instead of training from scratch; "
        "short for --set warm_start.enabled=true.",
    ),
]
Replaces = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="The rows are all there is of the days from their first to their last, as in a backfill: other rows of "
        "these days go, except what the gateway collected. Left out, they join what is there.",
    ),
]
SuiteFiles = Annotated[
    list[Path],
    typer.Option(
        "--suite",
        help="Python file named for its table, such as interactions.py, with a suite of your own, or a folder of such "
        "files; it is run. Repeatable. `everfeed validate --propose` writes them.",
    ),
]
Label = Annotated[
    str,
    typer.Option(
        help="What makes an interaction positive: any, rating, clicked, liked, long_viewed or watch_seconds. "
        "Left out: long_viewed for kuairand, any for the others."
    ),
]


def pairs(options: list[str]) -> dict[str, JsonValue]:
    """Read options of the form ``name=value``; every value stays text.

    Raises:
        BadParameter: One has no equals sign.
    """
    found: dict[str, JsonValue] = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign:
            raise typer.BadParameter(f"{option!r} is not of the form name=value.", param_hint="--option")
        found[name] = value
    return found
