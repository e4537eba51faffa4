"""`everfeed pyfunc`: a version as an MLflow model."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.audited import audited
from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson


def pyfunc(
    version: Annotated[int | None, typer.Argument(help="Version of the model; the champion if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder; pyfunc/VERSION in the home if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a version as an MLflow model, for `mlflow models predict`; the gateway never uses it."""
    settings = read_settings()
    from flows.pyfunc import export

    with audited(settings, "pyfunc") as deed:
        written = export(settings, version=version, out=out)
        deed.subject, deed.words = f"version {written.version}", str(written.folder)
    if not as_json:
        screen.print(f"version {written.version}: {written.folder}", highlight=False, soft_wrap=True)
        screen.print(
            f"mlflow models predict --env-manager local -m {written.folder} -t csv -i FILE",
            highlight=False,
            soft_wrap=True,
        )
    answer({"version": written.version, "digest": written.digest, "folder": str(written.folder)}, as_json=as_json)
