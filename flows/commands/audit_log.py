"""`everfeed audit-log`: who changed what, when, and how it ended."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.common import answer, read_moment, read_settings, screen
from flows.options import AsJson


def audit_log(
    limit: Annotated[int, typer.Option(help="Most records to show.", min=1, max=10_000)] = 50,
    before: Annotated[str, typer.Option(help="Only what is older than this moment, such as 2026-03-01T12:00.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what people and programs changed, the newest first: rollouts, incidents, tokens, erasures, items."""
    moment = read_moment(before) if before else None
    settings = read_settings()
    from infra.audit_log import AuditLog
    from infra.database import open_database

    database = open_database(settings.database)
    try:
        found = AuditLog(database).recent(limit, before=moment)
    finally:
        database.close()
    if not as_json:
        for one in found:
            about = f" {one.subject}" if one.subject else ""
            words = f": {one.words}" if one.words else ""
            line = f"{one.at:%Y-%m-%d %H:%M:%S} {one.actor} {one.action}{about}, {one.outcome}{words}"
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        if not found:
            screen.print("Nothing was changed by a person or a token yet.")
    answer([asdict(one) for one in found], as_json=as_json)
