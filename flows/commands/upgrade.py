"""`everfeed upgrade`: a home of an earlier Everfeed brought to this one's schema, with a copy of it first."""

from pathlib import Path
from typing import Annotated

import typer

from flows.clock import utc_now
from flows.commands.common import answer, confirm, read_settings, screen
from flows.options import AsJson
from infra.settings import Settings
from recmodels.errors import AlreadyRunningError, EverfeedError


def upgrade(
    backup: Annotated[
        Path | None, typer.Option(help="Folder of the backup that is made first; backups/ beside the home if left out.")
    ] = None,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Make no backup first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say from which schema to which.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring Everfeed's own tables forwards to the schema of this version, after a backup of the home.

    A schema of a newer Everfeed is refused: there is no way back but the backup. Prefect and MLflow bring their own
    tables forwards when they start.
    """
    settings = read_settings()
    from infra.database import known_versions, open_database, peek_version

    found, newest = peek_version(settings.database), known_versions()[-1]
    document = {"from": found, "to": newest, "backup": None}
    if found in {None, newest}:
        _say(f"the schema is {found}: nothing to do" if found else "no tables yet: nothing to do")
        answer(document, as_json=as_json)
        return
    _say(f"schema {found} is to become {newest}")
    if dry_run:
        answer(document, as_json=as_json)
        return
    _require_down(settings)
    if settings.database_url and not no_backup:
        raise EverfeedError(
            "Everfeed's tables are in PostgreSQL, which a backup of the home does not hold. Copy them with `pg_dump`, "
            "then run `everfeed upgrade --no-backup`."
        )
    confirm(f"Upgrade {settings.root}?", is_agreed=yes)
    if not no_backup:
        document["backup"] = _back_up(settings, backup or settings.root.with_name(f"{settings.root.name}-backups"))
    open_database(settings.database).close()
    _say(f"schema {newest}; `everfeed up` starts it")
    answer(document, as_json=as_json)


def _require_down(settings: Settings) -> None:
    from infra.processes import is_up

    if is_up(settings):
        raise AlreadyRunningError(
            f"a stack of an earlier version is up over {settings.root}. Stop it with `everfeed down`, then upgrade."
        )


def _back_up(settings: Settings, folder: Path) -> str:
    from infra.backups import back_up

    made = back_up(settings, folder, with_secrets=True, now=utc_now(), on_bytes=lambda _done, _total: None)
    _say(f"backup {made.manifest.name} in {made.folder}; the earlier version and `everfeed restore` go back to it")
    return str(made.folder)


def _say(line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
