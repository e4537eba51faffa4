"""`everfeed validate`: hold data to its suites, or propose suites from a profile of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson, Options, SuiteFiles, pairs


def validate(
    source: Annotated[str, typer.Option(help="What reads the data; the home's lake if left out.")] = "",
    path: Annotated[Path | None, typer.Option(help="File or folder that the source reads.")] = None,
    option: Options = [],  # noqa: B006 - typer copies it
    suite: SuiteFiles = [],  # noqa: B006
    table: Annotated[list[str], typer.Option(help="Only this table. Repeatable.")] = [],  # noqa: B006
    propose: Annotated[
        bool, typer.Option("--propose", help="Write suites that this data passes, as Python to read and edit.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for them; expectations/ in the home if left out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over suites that are there already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold a source, or the home's lake, to its suites and print what was found; nothing is stored.

    The exit code is 2 when a table may not be trained on. With `--propose` a suite a table is written instead; it is
    used where it is named with `--suite`, here or in `everfeed run`.
    """
    if bool(source) != (path is not None):
        raise typer.BadParameter("give --source and --path together, or neither for the home's lake.")
    settings = read_settings()
    from flows.validation import ask, propose_suites

    wanted = ask(settings, source=source, path=path, options=pairs(option), tables=tuple(table))
    if propose:
        folder = out or settings.root / "expectations"
        written = propose_suites(wanted, folder=folder, is_forced=force)
        if not as_json:
            for file in written:
                screen.print(f"written: {file}", highlight=False, soft_wrap=True)
            screen.print(f"Read and edit them, then: everfeed validate --suite {folder} ...", highlight=False)
        answer({"written": [str(file) for file in written]}, as_json=as_json)
        return
    _judge(settings.reports / "validation", wanted, suite, as_json=as_json)


def _judge(docs: Path, wanted: Any, suite: list[Path], *, as_json: bool) -> None:
    from flows.validation import judge

    found = judge(wanted, suites=suite, docs=docs)
    if not as_json:
        for name, report in found["tables"].items():
            verdict = "[green]may be trained on[/]" if report["passed"] else "[red]stopped[/]"
            screen.print(f"{name}: {verdict}; {report['rows']:,} rows, {report['quarantined']:,} refused")
            for words in (*report["failures"], *report["warnings"]):
                screen.print(f"   {words}", markup=False, highlight=False)
        screen.print(
            f"expectations {found['expectations']}; Data Docs: {found['docs']}", highlight=False, soft_wrap=True
        )
    answer(found, as_json=as_json)
    if not found["passed"]:
        raise typer.Exit(2)
