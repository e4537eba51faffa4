"""`everfeed retrains`: what drift was retrained for, and what came of it."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson

app = typer.Typer(name="retrains", help="What drift was retrained for, and what came of it.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """What drift was retrained for, and what came of it."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="Most retrains to show.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the retrains that the policy asked for, the newest first, each with its cause."""
    settings = read_settings()
    from flows.wiring import connect

    found = connect(settings).retrains.all()[:limit]
    if not as_json:
        for one in found:
            since = f", learning from {one.learns_from:%Y-%m-%d} on" if one.learns_from else ""
            lines = (
                f"{one.retrain_id}: {one.state}, asked for at {one.requested_at:%Y-%m-%d %H:%M} UTC{since}",
                f"   because of incidents {', '.join(one.incident_ids) or 'none'}: {one.reason}",
                *([f"   {one.words}"] if one.words else []),
            )
            for line in lines:
                screen.print(line, markup=False, highlight=False, soft_wrap=True)
        if not found:
            screen.print("Nothing was retrained because of drift.")
    answer([asdict(one) | {"state": one.state} for one in found], as_json=as_json)
