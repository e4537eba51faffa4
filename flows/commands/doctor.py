"""`everfeed doctor`: what is wrong, what to do about it, and the repair of what died and left something behind."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.common import answer, confirm, read_settings, screen
from flows.options import AsJson

if TYPE_CHECKING:
    from flows.doctor import Finding, Repair


def doctor(
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Repair what died and left something behind: flow runs, MLflow runs, half-written files, processes.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this machine, the stores and the versions, and what to do about each.

    With --fix, what a killed process left is put right; whatever belongs to a living process is left alone, and doing
    it twice changes nothing.
    """
    settings = read_settings()
    from flows.doctor import examine, repairs

    findings, repaired = examine(settings), list[str]()
    if not as_json:
        _show(findings)
    if fix and (broken := repairs(settings)):
        for repair in broken:
            _say(f"{repair.subject}: --fix {repair.action}")
        confirm(f"Repair so much ({len(broken):,})?", is_agreed=yes)
        repaired = _repair(broken)
        findings = examine(settings)
    answer({"findings": [asdict(finding) for finding in findings], "repaired": repaired}, as_json=as_json)
    if any(not finding.is_ok for finding in findings):
        raise typer.Exit(1)


def _repair(broken: Sequence["Repair"]) -> list[str]:
    repaired = []
    for repair in broken:
        is_done = repair.apply()
        _say(f"{'repaired' if is_done else 'left alone, it lives after all:'} {repair.subject}")
        repaired += [repair.subject] if is_done else []
    return repaired


def _show(findings: Sequence["Finding"]) -> None:
    for finding in findings:
        mark = "[green]ok[/]" if finding.is_ok else "[red]wrong[/]"
        screen.print(mark, end=" ")
        _say(f"{finding.subject}: {finding.seen}" + ("" if finding.is_ok else f"\n   {finding.advice}"))


def _say(line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
