"""What a home holds, and how each part of it is copied: what points at others first, what is pointed at last."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from infra.backups.databases import is_database
from infra.settings import Settings
from recmodels.errors import StoreError

SECRETS: Final = "secrets"
CHANNELS: Final = "channels.json"
LAKE: Final = "lake"
GC_LOCK: Final = "gc.lock"
"""Held together by backups, alone by `everfeed gc`: what is being copied is not removed."""

LEFT_OUT: Final = {
    "logs": "of services that ended",
    "downloads": "fetched again where they are needed",
    "staging": "batches on their way to the lake; ingest makes them again from their source",
}
"""Folders that no backup holds, and why."""

_COPY: Final = "Copy it with the tools of its store (object versioning, `aws s3 sync`, a snapshot of its disk)"
_FIRST: Final = ("runs", "searches", "covariates")
_PASSING: Final = (".partial", ".tmp", ".lock", "-wal", "-shm", "-journal")
_PROCESS_FILES: Final = ("stack.json", "lock")
_PROCESS_FOLDER: Final = "concurrency_leases"
"""Of the places that Prefect's flows hold while they run."""


@dataclass(frozen=True)
class Survey:
    """The parts of a home, each named from the home on.

    Attributes:
        first: Files and folders that name runs, bundles and versions: copied before these can only become more.
        databases: SQLite databases, Everfeed's own first.
        last: Folders that are only pointed at, whose files are written once.
    """

    first: tuple[str, ...]
    databases: tuple[str, ...]
    last: tuple[str, ...]


def survey(settings: Settings) -> Survey:
    """Return the parts of a home.

    Raises:
        StoreError: A store of the home is elsewhere, or something in it is a link.
    """
    refuse_elsewhere(settings)
    root = settings.root
    found = [path.relative_to(root).as_posix() for path in files_under(root, "") if is_database(path)]
    databases = tuple(sorted(found, key=lambda path: (path != "everfeed.db", path)))
    names = sorted(path.name for path in root.iterdir() if path.name not in LEFT_OUT and path.name != LAKE)
    first = [name for name in names if name in _FIRST or (root / name).is_file()]
    last = [name for name in names if name not in first]
    return Survey(tuple(first), databases, tuple(last))


def refuse_elsewhere(settings: Settings) -> None:
    """Refuse a home whose stores are not all in it, and say which tool copies those that are not.

    Raises:
        StoreError: One is elsewhere.
    """
    own = f"sqlite:///{settings.root}/"
    for variable, url in (
        ("EVERFEED_DATABASE_URL", settings.database),
        ("EVERFEED_MLFLOW_URL", settings.mlflow),
        ("EVERFEED_SEARCH_URL", settings.studies),
    ):
        if not url.startswith(own):
            kind = urlsplit(url).scheme.split("+")[0] or "a file"
            raise StoreError(
                f"{variable} puts a store outside of the home {settings.root} ({kind}), and a backup holds one moment"
                f" of all stores together. {_advice(kind)} The rest of the home is safe to copy while nothing runs."
            )
    if not settings.lake.startswith(f"{settings.root}/"):
        raise StoreError(
            f"{'EVERFEED_LAKE_URL' if settings.lake_url else 'EVERFEED_LAKE_PATH'} puts the lake at {settings.lake},"
            f" outside of the home {settings.root}. {_COPY} while nothing is ingested."
        )
    if settings.artifacts_url:
        raise StoreError(
            f"EVERFEED_ARTIFACTS_URL puts MLflow's artifacts at {settings.artifacts_url}, outside of the home"
            f" {settings.root}. {_COPY} while nothing is trained."
        )


def files_under(root: Path, relative: str) -> Iterator[Path]:
    """Yield the regular files of a folder that outlast a process, in a fixed order; of a file, itself.

    Raises:
        StoreError: Something is a link, behind which a restore could not put anything.
    """
    top = root / relative if relative else root
    if top.is_file() and not top.is_symlink():
        if _is_lasting(top.name):
            yield top
        return
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith(".writing-") and name != _PROCESS_FOLDER)
        if Path(folder) == root:
            folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in [*folders, *names]:
            if (Path(folder) / name).is_symlink():
                raise StoreError(
                    f"{Path(folder) / name} is a link; a backup holds what lies in the home itself. Move what it points"
                    " at here, or name its place with a setting."
                )
        yield from (Path(folder) / name for name in sorted(names) if _is_lasting(name))


def _is_lasting(name: str) -> bool:
    return not (name.endswith(_PASSING) or name.startswith(".writing-") or name in _PROCESS_FILES)


def _advice(kind: str) -> str:
    if kind.startswith("postgres"):
        return "Copy it with `pg_dump --format=custom`, or take a snapshot of its disk."
    if kind.startswith("http"):
        return "Copy that server's own database and artifacts where it runs."
    return "Copy it with the tools of its database."
