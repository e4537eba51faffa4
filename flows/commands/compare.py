"""`everfeed compare`: one model against another on the users that both were judged on."""

from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson

_NAMES = "a version, the id of a model's MLflow run, the beginning of a bundle's digest, champion, or challenger"


def compare(
    candidate: Annotated[str, typer.Argument(metavar="A", help=f"The verdict is about this one: {_NAMES}.")],
    baseline: Annotated[str, typer.Argument(metavar="B", help="What it is compared with, named in the same way.")],
    metric: Annotated[
        str, typer.Option(help="Metric that decides, such as recall_at_10; the gate's if left out.")
    ] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="Measure both on what is in the lake now, as A's recipe divides it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether A is better than B, worse, or cannot be told apart, with an interval over users; and by slice.

    Users are drawn again in pairs from what each evaluation kept. Models of different data are refused, unless both
    are measured again with --anew.
    """
    settings = read_settings()
    from flows.compare import compare_models, document_of, draw, lines_of
    from flows.wiring import connect

    home = connect(settings)
    found = compare_models(home, candidate, baseline, metric=metric, is_anew=anew)
    picture = draw(home, found, (candidate, baseline))
    if not as_json:
        for line in lines_of(found):
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        screen.print(f"plot: {picture}", markup=False, highlight=False, soft_wrap=True)
    answer(document_of(found, picture=picture), as_json=as_json)
