"""`everfeed init`: a project of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import answer, screen
from flows.options import AsJson


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project; made if it is missing.")],
    as_json: AsJson = False,
) -> None:
    """Make a project of your own: settings, recipes, a mapping, plug-ins; it runs at once on ML-100K.

    Nothing that is there is ever overwritten.
    """
    from flows.project import init_project

    placed = init_project(folder)
    root = folder.expanduser().resolve()
    if not as_json:
        for one in placed:
            screen.print(f"  {one.path.relative_to(root)!s:38} {one.what}", highlight=False)
        screen.print(f"\nNext: cd {folder} && everfeed run", highlight=False)
    answer({"folder": str(root), "files": [str(one.path.relative_to(root)) for one in placed]}, as_json=as_json)
