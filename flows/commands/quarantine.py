"""`everfeed quarantine`: rows that broke a rule: look at them, and release what was right after all."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.clock import utc_now
from flows.commands import accounts
from flows.commands.audited import audited
from flows.commands.common import answer, read_settings, screen, user_name
from flows.options import AsJson

if TYPE_CHECKING:
    from flows.wiring import Platform

app = typer.Typer(
    name="quarantine",
    help="Rows that broke a rule: look at them, and release what was right after all.",
    no_args_is_help=True,
)

Table = Annotated[str, typer.Option(help="Table of the rows: interactions, items, users, impressions or outcomes.")]
Batch = Annotated[str, typer.Option(help="Batch as `list` shows it, or how its moment begins, such as 2026-03-01.")]
Reason = Annotated[str, typer.Option(help="Reason as `list` shows it, or a part of it.")]
EventIds = Annotated[list[str], typer.Option("--event-id", help="Event id of a row. Repeatable.")]
app.add_typer(accounts.app)


@app.callback()
def group() -> None:
    """Rows that broke a rule: look at them, and release what was right after all."""


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Count the rows of each batch by their reason, and name every release."""
    home = _home()
    from flows.quarantine import groups

    found, audit = groups(home), [asdict(line) for line in home.releases.audit()]
    if not as_json:
        _say_groups(found)
        for line in audit:
            screen.print(_audit_words(line), markup=False, highlight=False)
    answer({"groups": found, "releases": audit}, as_json=as_json)


@app.command()
def show(
    table: Table = "",
    batch: Batch = "",
    reason: Reason = "",
    event_id: EventIds = [],  # noqa: B006 - typer copies it
    limit: Annotated[int, typer.Option(help="Most rows to show.", min=1)] = 20,
    released: Annotated[bool, typer.Option("--released", help="Show rows that were released, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show whole rows with their reasons. They may hold user ids: what is printed is not logged."""
    home = _home()
    from flows.quarantine import Choice, chosen

    rows = chosen(home, Choice(table, batch, reason, tuple(event_id), is_released=released))
    found = [_readable(row) for row in rows.slice(0, limit).to_pylist()]
    if not as_json:
        for row in found:
            words = f"{row['batch']} {row['table']}: {row['reason']}"
            screen.print(words + (f" ({row['outcome']})" if row["outcome"] else ""), markup=False, highlight=False)
            screen.print(f"   {json.dumps(row['row'], ensure_ascii=False)}", markup=False, highlight=False)
        screen.print(f"{len(found)} of {rows.num_rows} rows.", highlight=False)
    answer({"rows": found, "matching": rows.num_rows}, as_json=as_json)


@app.command()
def release(
    because: Annotated[str, typer.Option(help="Why; kept with the release, beside your name and the time.")],
    table: Table = "",
    batch: Batch = "",
    reason: Reason = "",
    event_id: EventIds = [],  # noqa: B006 - typer copies it
    correction: Annotated[
        list[str], typer.Option("--set", help="Correct a column of every chosen row: surface=video. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Send chosen rows through validation again; those that pass join their days in the lake.

    A row that fails again is kept back with its new reason; the exit code is 3 when any does. Doing it twice changes
    nothing.
    """
    if not (table or batch or reason or event_id):
        raise typer.BadParameter("choose rows with --batch, --reason, --event-id or --table.")
    home = _home()
    from flows.quarantine import Choice
    from flows.quarantine import release as release_rows

    choice, corrections = Choice(table, batch, reason, tuple(event_id)), _corrections(correction)
    with audited(home.settings, "quarantine release", f"{batch} {table}".strip(), because) as deed:
        done = release_rows(home, choice, corrections=corrections, by=user_name(), why=because, now=utc_now())
        deed.words = f"{because}: {done.stored} rows released"
    if not as_json:
        days = f" on {', '.join(done.days)}" if done.days else ""
        screen.print(f"{done.stored} rows are in the lake{days}, {done.was_there} were there already.", highlight=False)
        for words, count in {**done.refused, "as before": done.unchanged}.items():
            if count:
                screen.print(f"{count} kept back: {words}", markup=False, highlight=False)
    answer(asdict(done), as_json=as_json)
    if done.refused or done.unchanged:
        raise typer.Exit(3)


def _home() -> "Platform":
    settings = read_settings()
    from flows.wiring import connect

    return connect(settings)


def _say_groups(found: list[dict[str, Any]]) -> None:
    if not found:
        screen.print("The quarantine is empty.")
    for group in found:
        released = f", {group['released']} released" if group["released"] else ""
        words = f"{group['batch']} {group['table']}: {group['rows']} rows{released}: {group['reason']}"
        screen.print(words, markup=False, highlight=False)


def _audit_words(line: dict[str, Any]) -> str:
    corrected = f", {line['corrected']} corrected" if line["corrected"] else ""
    what = f"{line['rows']} {line['outcome']}{corrected}"
    return f"released {line['at']:%Y-%m-%d %H:%M} by {line['by']}: {what}: {line['why']}"


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """Return one row as it is shown: its content as values, where it is JSON."""
    try:
        content = json.loads(row["row"])
    except ValueError:
        content = row["row"]
    return {name: row[name] for name in ("batch", "table", "reason", "outcome", "row_id")} | {"row": content}


def _corrections(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [name for name, sign, _ in pairs if not (name and sign)]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not of the form column=value.", param_hint="--set")
    return {name: value for name, _, value in pairs}
