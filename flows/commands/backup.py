"""`everfeed backup` and `everfeed restore`: a home copied while it is in use, and brought back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import progress
from flows.clock import utc_now
from flows.commands.audited import Deed, keep
from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson

if TYPE_CHECKING:
    from infra.backups import Restored

_SHOWN = 5
_AT = "Which backup of the folder, such as 20260301T12; the newest if left out."


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of backups, best on another disk.")],
    without_secrets: Annotated[
        bool,
        typer.Option(
            "--without-secrets",
            help="Leave out the secrets and channels.json. Without the secret of user keys nobody is known again after "
            "a restore: keep it elsewhere.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the whole home into DIR, while everything runs; again into the same DIR adds what is new alone.

    Databases, lake, bundles, runs, reports and secrets are of one moment. What is in DIR is as secret as the home:
    it is made for its owner only.
    """
    settings = read_settings()
    from infra.backups import back_up

    with progress.shown_on(screen) as bars, progress.stage("back up"):
        made = back_up(
            settings,
            folder,
            with_secrets=not without_secrets,
            now=utc_now(),
            on_bytes=lambda done, total: progress.report("back up, kB", done // 1000, total // 1000),
        )
    kept = made.manifest
    if not as_json:
        _say(f"backup {kept.name} of {kept.home} in {made.folder}")
        _say(f"{len(kept.files):,} files, {kept.size / 1e6:,.1f} MB; {made.written / 1e6:,.1f} MB were new")
        _say(
            "the secrets are in it: keep the folder as safe as the home"
            if kept.has_secrets
            else "the secrets are not in it: keep secrets/user_key_secret elsewhere, or nobody is known after a restore"
        )
        for name, why in kept.left_out.items():
            _say(f"left out {name}: {why}")
    document = {"backup": kept.name, "folder": str(made.folder), "files": len(kept.files), "bytes": kept.size}
    document |= {"bytes_written": made.written, "tables": kept.tables, "schema": kept.schema}
    document |= {
        "has_secrets": kept.has_secrets,
        "left_out": kept.left_out,
        "seconds": round(bars.seconds["back up"], 2),
    }
    answer(document, as_json=as_json)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `everfeed backup` wrote to.")],
    at: Annotated[str, typer.Option(help=_AT)] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Move what the home holds to a folder beside it, instead of refusing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only verify every file of the backup; nothing is written.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a home back from a backup, into an empty home on this or another machine.

    Every file is verified first. Paths of the old home are rewritten, and an older schema is brought to this one.
    """
    settings = read_settings()
    from infra import backups
    from infra.audit_log import DONE

    with progress.shown_on(screen) as bars, progress.stage("restore"):

        def on_bytes(done: int, total: int) -> None:
            progress.report("restore, kB", done // 1000, total // 1000)

        if check:
            kept = backups.check(folder, at=at, on_bytes=on_bytes)
        else:
            restored = backups.restore(settings, folder, at=at, is_forced=force, now=utc_now(), on_bytes=on_bytes)
            kept = restored.manifest
            keep(settings, "restore", Deed(kept.name, f"from {folder}"), DONE)  # not before: the home must be empty
    document = {"backup": kept.name, "files": len(kept.files), "bytes": kept.size, "tables": kept.tables}
    document |= {"seconds": round(bars.seconds["restore"], 2), "home": None if check else str(settings.root)}
    if check:
        lines = [f"backup {kept.name} is whole: {len(kept.files):,} files, {kept.size / 1e6:,.1f} MB"]
    else:
        lines = _lines(settings.root, restored)
        document |= {"relocated": restored.relocated, "migrated_from": restored.migrated_from}
        document |= {"erasures": restored.erasures, "aside": None if restored.aside is None else str(restored.aside)}
    if not as_json:
        for line in lines:
            _say(line)
    answer(document, as_json=as_json)


def _lines(root: Path, restored: "Restored") -> list[str]:
    """Return what a person is told of a restore."""
    kept = restored.manifest
    lines = [
        f"backup {kept.name} of {kept.home} is restored in {root}: {len(kept.files):,} files, {kept.size / 1e6:,.1f} MB"
    ]
    if restored.aside is not None:
        lines.append(f"what was there is in {restored.aside}")
    if restored.migrated_from:
        lines.append(f"its tables were brought from schema {restored.migrated_from} to this Everfeed's")
    if restored.relocated:
        parts = ", ".join(f"{count:,} in {name}" for name, count in sorted(restored.relocated.items())[:_SHOWN])
        more = len(restored.relocated) - _SHOWN
        lines.append(f"paths of the old home were rewritten: {parts}{f', and {more} more files' if more > 0 else ''}")
    if not kept.has_secrets:
        lines.append(
            f"the backup has no secrets: put user_key_secret into {root / 'secrets'} (mode 600) before anything starts,"
            " or every user gets a new key and nobody is known again"
        )
    if restored.erasures:
        lines.append(
            f"{restored.erasures:,} people were erased after this backup: their tombstones were carried over, and what"
            " the backup holds about them is back. Run `everfeed forget` for each again"
        )
    else:
        lines.append(
            f"people erased after {kept.made_at:%Y-%m-%d %H:%M} UTC are back: run `everfeed forget` for each again"
        )
    return [*lines, "`everfeed doctor` looks at all of it; `everfeed up` starts it"]


def _say(line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
