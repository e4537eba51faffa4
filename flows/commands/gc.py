"""`everfeed gc`: what goes and why, what stays and why, and the removal once a person agreed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows import progress
from flows.clock import utc_now
from flows.commands.audited import audited
from flows.commands.common import answer, confirm, read_settings, screen
from flows.options import AsJson
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.garbage import Finding


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what goes and what stays, with why.")] = False,
    older_than: Annotated[int, typer.Option(help="Days since it was made, below which nothing goes.", min=1)] = 30,
    history_days: Annotated[int, typer.Option(help="Days for which older versions of tables stay.", min=1)] = 90,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what nobody needs: bundles that never served, checkpoints, files of archived runs, leftovers.

    What a champion, a challenger, a rollout, a registered version, a running flow, an audit or an open reader needs is
    never removed.
    """
    settings = read_settings()
    with progress.shown_on(screen), progress.stage("look"):
        findings = _look(settings, older_than=older_than, history_days=history_days)
    if not as_json:
        _show(findings, with_kept=dry_run)
    going = [finding for finding in findings if finding.goes]
    size = sum(finding.size for finding in going)
    document = {"findings": [asdict(finding) for finding in findings], "bytes": size}
    if dry_run or not going:
        answer(document | {"removed": 0, "spared": []}, as_json=as_json)
        return
    confirm(f"Remove these {len(going):,} things, {size / 1e6:,.1f} MB?", is_agreed=yes)
    from infra.garbage import remove

    with audited(settings, "gc") as deed:
        removed = remove(settings, going, lambda: _look(settings, older_than=older_than, history_days=history_days))
        deed.words = f"removed {len(removed.findings):,} things, {removed.size / 1e6:,.1f} MB"
    if not as_json:
        _say(f"removed {len(removed.findings):,} things, {removed.size / 1e6:,.1f} MB")
        for path in removed.spared:
            _say(f"kept {path} after all: it was used meanwhile, or is gone")
    answer(
        document | {"removed": len(removed.findings), "bytes": removed.size, "spared": list(removed.spared)},
        as_json=as_json,
    )


def _look(settings: Settings, *, older_than: int, history_days: int) -> list["Finding"]:
    from flows.wiring import connect
    from infra.garbage import find, read_needs

    home = connect(settings)
    needs = read_needs(settings.bundles, rollouts=home.rollouts, registry=home.registry, tracker=home.tracker)
    days, history = timedelta(days=older_than), timedelta(days=history_days)
    return find(settings, needs, age=days, history=history, now=utc_now())


def _show(findings: Sequence["Finding"], *, with_kept: bool) -> None:
    for finding in findings:
        if finding.goes or with_kept:
            verb = "goes " if finding.goes else "stays"
            _say(f"{verb} {finding.size / 1e6:9.2f} MB  {finding.kind} {finding.path}: {finding.reason}")
    for goes, words in ((True, "goes"), (False, "stays")):
        kinds = Counter(finding.kind for finding in findings if finding.goes == goes)
        total = sum(finding.size for finding in findings if finding.goes == goes)
        _say(
            f"{words}: {total / 1e6:,.1f} MB; {', '.join(f'{count:,} {kind}' for kind, count in kinds.items()) or '-'}"
        )


def _say(line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
