"""`everfeed retune`: another release of a model that exists."""

from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson


def retune(
    model: Annotated[
        str, typer.Argument(help="A version, the beginning of a bundle's digest, a run's id, champion or challenger.")
    ],
    changes: Annotated[
        list[str],
        typer.Option(
            "--set", help='What differs, such as ranking.utility.liked=2 or reranking.stages=\'[{"name": "mmr"}]\'.'
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Release a model with other re-ranking or utility: evaluated, gated and rolled out, without a training."""
    settings = read_settings()
    from flows.retune import retune_model

    decided = retune_model(settings, model, changes)
    if not as_json:
        words = [f"refused: {reason}" for reason in decided.refused] or [
            f"version {decided.challenger_version} is on its way: {decided.comparison}"
        ]
        for line in words:
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
    answer(decided.model_dump(mode="json", exclude={"challenger"}), as_json=as_json)
