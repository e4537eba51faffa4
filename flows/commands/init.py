"""`everfeed init`: a project of one's own."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.audited import Deed, audited_at_home
from flows.commands.common import answer, screen, settings_at
from flows.options import AsJson


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project; made if it is missing.")],
    as_json: AsJson = False,
) -> None:
    """Make a project of your own: settings, recipes, a mapping, plug-ins; it runs at once on ML-100K.

    Nothing that is there is ever overwritten.
    """
    from flows.project import init_project

    root = folder.expanduser().resolve()
    with _recorded(root):
        placed = init_project(folder)
    if not as_json:
        for one in placed:
            screen.print(f"  {one.path.relative_to(root)!s:38} {one.what}", highlight=False)
        screen.print(f"\nNext: cd {folder} && everfeed run", highlight=False)
    answer({"folder": str(root), "files": [str(one.path.relative_to(root)) for one in placed]}, as_json=as_json)


def _recorded(root: Path) -> AbstractContextManager[Deed | None]:
    """Record it in the home that the folder has already, if it has one."""
    home = root / ".everfeed"
    return audited_at_home(settings_at(home), "init", str(root)) if home.is_dir() else nullcontext()
