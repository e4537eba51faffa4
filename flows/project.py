"""`everfeed init`: a project of one's own, which runs as it is; never over a file that is there."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recmodels.errors import SettingsError

STARTER: Final = Path(__file__).parent / "starter"
"""What a new project is a copy of."""

_PLACES: Final = {
    "everfeed.toml": "settings, and what `everfeed run` runs",
    "mapping.toml": "which of your columns is which of the contract's",
    "recipes/first.json": "a recipe: what is trained, on what, judged how",
    "recipes/own_model.json": "a recipe of the model below",
    "plugins/models/recency.py": "a model of your own",
    "plugins/sources/play_log.py": "a source of your own",
    "plugins/expectations/interactions.py": "what you expect of your interactions",
    "plugins/channels/diary.py": "an alert channel of your own",
    "README.md": "what goes where",
    ".gitignore": "what is not for version control",
}


@dataclass(frozen=True)
class Placed:
    """One file of a new project."""

    path: Path
    what: str


def init_project(folder: Path) -> list[Placed]:
    """Write a new project and return what is where.

    Args:
        folder: Where; it is made if it is missing, and may hold other files.

    Raises:
        SettingsError: A file of the project is there already, or the folder cannot be written; nothing was written.
    """
    folder = folder.expanduser().resolve()
    taken = [folder / name for name in _PLACES if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise SettingsError(
            f"nothing was written: {', '.join(str(path) for path in taken)} {'is' if len(taken) == 1 else 'are'} in "
            "the way. Choose another folder, or move what is there."
        )
    try:
        return [_place(folder, name, what) for name, what in _PLACES.items()]
    except OSError as error:
        raise SettingsError(
            f"no project can be made in {folder}: {error.strerror}, {error.filename}. Choose a folder that you may "
            "write to."
        ) from error


def _place(folder: Path, name: str, what: str) -> Placed:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with (STARTER / name.lstrip(".")).open("rb") as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
    return Placed(path, what)
