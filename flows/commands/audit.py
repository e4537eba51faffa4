"""`everfeed audit-leakage`: whether the test part of a data set is known before it."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson, Label, Options, Overrides, Presets, Recipes, pairs


def audit_leakage(
    source: Annotated[str, typer.Option(help="What reads the data; the home's lake if left out.")] = "",
    path: Annotated[Path | None, typer.Option(help="File or folder that the source reads.")] = None,
    option: Options = [],  # noqa: B006 - typer copies it
    preset: Presets = [],  # noqa: B006 - the same
    recipe: Recipes = [],  # noqa: B006 - the same
    override: Overrides = [],  # noqa: B006 - the same
    label: Label = "",
    accept: Annotated[
        list[str], typer.Option(help="Name of a check whose leak you answer for: it becomes a note. Repeatable.")
    ] = [],  # noqa: B006 - the same
    as_json: AsJson = False,
) -> None:
    """Look for shared events, ids that encode time, columns that look ahead, and ties, as the recipes divide the data.

    Nothing is trained or stored. Without a source the lake is audited under the recipes of the last run. The exit code
    is 1 where a leak is found.
    """
    if bool(source) != (path is not None):
        raise typer.BadParameter("give --source and --path together, or neither for the home's lake.")
    settings = read_settings()
    from flows.audit import audit_request, document_of, lines_of
    from flows.runs import RunRequest

    request = RunRequest(
        source=source,
        path=path or Path(),
        options=pairs(option),
        presets=tuple(preset),
        recipes=tuple(recipe),
        overrides=tuple(override),
        label=label,
    )
    found = audit_request(settings, request, accepted=accept)
    if not as_json:
        for line in lines_of(found):
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
    document = document_of(found)
    answer(document, as_json=as_json)
    if not document["passed"]:
        raise typer.Exit(1)
