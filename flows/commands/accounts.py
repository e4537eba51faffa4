"""`everfeed quarantine accounts`: who looks as if made to push an item; holding them back, and letting them go."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.clock import utc_now
from flows.commands.audited import audited
from flows.commands.common import answer, confirm, read_settings, screen, user_name
from flows.options import AsJson

if TYPE_CHECKING:
    from flows.accounts import Held, Survey, Suspect
    from flows.wiring import Platform
    from infra.held_accounts import HeldAccount

app = typer.Typer(name="accounts", help="Accounts that push an item: who is suspect, holding them back, letting go.")

Retrain = Annotated[
    bool, typer.Option("--retrain", help="Ask for a retrain, which the next run of the monitor starts.")
]
_MOST_SHOWN = 50
_WHY = "the detector suspects them"


@app.callback(invoke_without_command=True)
def accounts(
    context: typer.Context,
    apply: Annotated[bool, typer.Option("--apply", help="Hold the listed suspects back; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    item: Annotated[list[str], typer.Option(help="Only accounts that push this item. Repeatable.")] = [],  # noqa: B006
    lone: Annotated[bool, typer.Option("--lone", help="Accounts that repeat an item alone, too.")] = False,
    because: Annotated[str, typer.Option(help="Why; kept with the accounts.")] = _WHY,
    days: Annotated[int, typer.Option(help="Newest days that are judged.", min=1)] = 7,
    retrain: Retrain = False,
    show_ids: Annotated[bool, typer.Option("--show-ids", help="Print the raw user ids, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List accounts that look as if they were made to push an item, with the evidence, and those that are held back.

    Holding an account back takes its events out of what is trained and counted next, and later ones never come in;
    they lie in the quarantine until the account is let go.
    """
    if context.invoked_subcommand is not None:
        return
    home = _home()
    found = _survey(home, days=days)
    chosen = found.chosen(items=item, with_lone=lone)
    if not as_json or (apply and not yes):
        _say_suspects(found, chosen, show_ids=show_ids)
        _say_held(home.held_accounts.accounts())
    applied = _apply(home, chosen, because, is_agreed=yes) if apply and chosen else None
    if applied:
        words = f"{applied.accounts} accounts are held back: {applied.rows} rows on {len(applied.days)} days."
        screen.print(f"{words} The next training is without them; models that serve learned from them.")
        _retrain(home, [one.label for one in chosen], wants=retrain)
    answer(_document(home, found, chosen, applied, show_ids=show_ids), as_json=as_json)


@app.command()
def release(
    account: Annotated[list[str], typer.Argument(help="Label as the list shows it, user key or user id.")],
    because: Annotated[str, typer.Option(help="Why; kept with the release, beside your name and the time.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    retrain: Retrain = False,
    as_json: AsJson = False,
) -> None:
    """Let accounts go: their rows pass validation again and join their days, and they count from the next training on.

    Rows that fail it are kept back with the new reason; the exit code is 3 when any does.
    """
    home = _home()
    from flows.accounts import let_go

    secret = home.settings.user_secret()
    named = {one.user_key: one for one in (home.held_accounts.find(name, secret=secret) for name in account)}
    labels = ", ".join(sorted(one.label for one in named.values()))
    confirm(f"Let {labels} go, so that they are trained on and counted again?", is_agreed=yes)
    with audited(home.settings, "quarantine accounts release", labels, because, tells_why=False) as deed:
        done = let_go(home, list(named.values()), by=user_name(), why=because, now=utc_now())
        stored, refused = sum(one.stored for one in done), sum(sum(one.refused.values()) for one in done)
        deed.words = f"{because}: {len(named)} accounts let go, {stored} rows released"
    if not as_json:
        kept = f", {refused} kept back for another reason" if refused else ""
        screen.print(f"{len(named)} accounts were let go: {stored} rows are in the lake{kept}.", highlight=False)
    _retrain(home, labels.split(", "), wants=retrain)
    answer({"released": labels.split(", "), "stored": stored, "refused": refused}, as_json=as_json)
    if refused:
        raise typer.Exit(3)


def _home() -> "Platform":
    settings = read_settings()
    from flows.wiring import connect

    return connect(settings)


def _survey(home: "Platform", *, days: int) -> "Survey":
    from flows.accounts import survey
    from flows.monitor import MonitorConfig
    from monitoring.drift.shilling import ShillingConfig

    config = MonitorConfig()
    return survey(home, days=days, history_days=config.history_days, rows=config.rows, config=ShillingConfig())


def _apply(home: "Platform", chosen: "Sequence[Suspect]", because: str, *, is_agreed: bool) -> "Held":
    from flows.accounts import hold

    items = ", ".join(sorted({one.item_id for one in chosen}))
    confirm(f"Hold {len(chosen)} accounts back from training and counts?", is_agreed=is_agreed)
    with audited(home.settings, "quarantine accounts", f"{len(chosen)} accounts", because, tells_why=False) as deed:
        done = hold(home, chosen, by=user_name(), why=because, now=utc_now())
        deed.words = f"{because}: {done.accounts} accounts that push {items}, {done.rows} rows"
    return done


def _retrain(home: "Platform", labels: "Sequence[str]", *, wants: bool) -> None:
    if wants:
        from flows.accounts import ask_for_retrain

        asked = ask_for_retrain(home, labels, now=utc_now())
        screen.print(f"retrain {asked} is asked for: `everfeed retrains list` tells what comes of it.", highlight=False)


def _say_suspects(found: "Survey", chosen: "Sequence[Suspect]", *, show_ids: bool) -> None:
    judged = f"{found.users} accounts of {found.days} days were judged"
    if not found.days:
        judged = "The history is too short to say what is usual: nobody was judged"
    part = f" ({found.share:.1%} of the users were read)" if found.share < 1 else ""
    lone = sum(one.is_alone for one in found.suspects) - sum(one.is_alone for one in chosen)
    left_out = f"; {lone} more repeat an item alone (--lone)" if lone else ""
    screen.print(f"{judged}{part}: {len(chosen)} are suspect{left_out}.", highlight=False)
    for one in chosen[:_MOST_SHOWN]:
        share = f"{one.on_item} of its {one.events} events on {one.item_id}, from {one.day}"
        name = f"{one.label} ({one.user_id})" if show_ids else one.label
        screen.print(f"{name}: {share}: {one.reason}", markup=False, highlight=False, soft_wrap=True)
    if len(chosen) > _MOST_SHOWN:
        screen.print(f"and {len(chosen) - _MOST_SHOWN} more; --json names all of them.", highlight=False)


def _say_held(held: "Sequence[HeldAccount]") -> None:
    screen.print(f"{len(held)} accounts are held back.", highlight=False)
    for one in held[:_MOST_SHOWN]:
        words = f"{one.label}: since {one.at:%Y-%m-%d %H:%M} by {one.by}: {one.why}"
        screen.print(words, markup=False, highlight=False, soft_wrap=True)
    if len(held) > _MOST_SHOWN:
        screen.print(f"and {len(held) - _MOST_SHOWN} more; --json names all of them.", highlight=False)


def _document(
    home: "Platform", found: "Survey", chosen: "Sequence[Suspect]", applied: "Held | None", *, show_ids: bool
) -> dict[str, Any]:
    hidden = {} if show_ids else {"user_id": None}
    suspects = [{name: value for name, value in (asdict(one) | hidden).items() if value is not None} for one in chosen]
    held = [asdict(one) | {"label": one.label} for one in home.held_accounts.accounts()]
    return {
        "days": found.days,
        "users": found.users,
        "share": found.share,
        "suspects": suspects,
        "held": [{name: value for name, value in one.items() if name != "user_key"} for one in held],
        "applied": None if applied is None else asdict(applied),
    }
