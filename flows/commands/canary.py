"""`everfeed canary`: rollouts: where they stand, why, and a person's decisions."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from flows.clock import utc_now
from flows.commands import screening
from flows.commands.audited import audited
from flows.commands.common import answer, confirm, read_moment, read_settings, screen, user_name
from flows.options import AsJson

if TYPE_CHECKING:
    from flows.wiring import Platform
    from infra.rollout_records import Rollout

app = typer.Typer(
    name="canary", help="Rollouts: where they stand, why, and a person's decisions.", no_args_is_help=True
)

PROMOTED, INTERRUPTED, ROLLED_BACK = 0, 130, 3
"""Exit codes of `watch`; 2 is an error, as everywhere."""


class _Signature(TypedDict):
    now: datetime
    by: str
    reason: str


class _Acting(TypedDict):
    now: datetime
    actor: str
    reason: str


_FOLLOWS = "The gateway follows within a second; MLflow's tags and the page in Prefect at the next scheduled look."

RolloutId = Annotated[str, typer.Argument(help="Id of a rollout; the active one if left out.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
At = Annotated[str, typer.Option(help="A moment such as 2026-03-01T12:00; UTC unless it says otherwise.")]


@app.callback()
def group() -> None:
    """Rollouts: where they stand, why, and a person's decisions."""


app.command()(screening.prescreen)
app.command()(screening.off_policy)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the active rollout: share, users, estimate and bounds, guardrails, what would fire next, the deadline."""
    home = _home()
    from flows.commands.rollout_pages import show, standing_page
    from flows.standing import standing

    document = standing(home, now=utc_now())
    if not as_json:
        show(screen, standing_page(document))
    answer(document, as_json=as_json)


@app.command()
def watch(
    rollout: RolloutId = "",
    every: Annotated[float, typer.Option(help="Seconds between two readings.", min=0.2)] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Watch a rollout until it ends; the exit code is 0 when it was promoted, 3 when rolled back, 130 on Ctrl-C.

    Watching decides nothing: scheduled looks do, and a watcher may come and go.
    """
    home = _home()
    from flows.standing import chosen
    from flows.watching import follow

    followed = chosen(home, rollout, action="watch")
    try:
        ended = follow(home, followed.rollout_id, screen=screen, every_seconds=every)
    except KeyboardInterrupt:
        screen.print("\nNo longer watched; the rollout goes on.")
        raise typer.Exit(INTERRUPTED) from None
    answer({"rollout": ended.rollout_id, "state": ended.state}, as_json=as_json)
    raise typer.Exit(PROMOTED if ended.state == "promoted" else ROLLED_BACK)


@app.command()
def promote(reason: Reason, rollout: RolloutId = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Make the challenger champion now, whatever the judge waits for; an abort still undoes it.

    The exit code is 3 where somebody aborted at the same moment: an abort beats a promotion.
    """
    home = _home()
    active = _decided(home, rollout, "promote", reason, yes=yes)
    done = home.decisions.promote(active.rollout_id, fencing=active.fencing, **_acting(reason))
    screen.print(f"{done.words} {_FOLLOWS}", markup=False, highlight=False, soft_wrap=True)
    document = {"rollout": active.rollout_id, "champion": done.champion.version, "is_undone": done.is_undone}
    answer(document | {"words": done.words}, as_json=as_json)
    if done.is_undone:
        raise typer.Exit(ROLLED_BACK)


@app.command()
def abort(reason: Reason, rollout: RolloutId = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Take the challenger out of traffic now; by its id also one that was just promoted. It beats every promotion."""
    home = _home()
    chosen_one = _decided(home, rollout, "abort", reason, yes=yes)
    done = home.decisions.abort(chosen_one.rollout_id, **_acting(reason))
    screen.print(f"{done.words} {_FOLLOWS}", markup=False, highlight=False, soft_wrap=True)
    document = {"rollout": chosen_one.rollout_id, "champion": done.champion.version, "words": done.words}
    answer(document, as_json=as_json)


@app.command()
def hold(reason: Reason, rollout: RolloutId = "", as_json: AsJson = False) -> None:
    """Freeze the share until `resume`; the judge still rolls back, and so does the deadline."""
    home = _home()
    active = _decided(home, rollout, "hold", reason, yes=True)
    with audited(home.settings, "canary hold", active.rollout_id, reason):
        held = home.rollouts.hold(active.rollout_id, fencing=active.fencing, **_signed(reason))
    screen.print(f"{held.rollout_id} is held at {held.share:.0%}.", highlight=False)
    answer({"rollout": held.rollout_id, "state": held.state}, as_json=as_json)


@app.command()
def resume(reason: Reason, rollout: RolloutId = "", as_json: AsJson = False) -> None:
    """Let a held rollout go on at the step where it stands."""
    home = _home()
    held = _decided(home, rollout, "resume", reason, yes=True)
    with audited(home.settings, "canary resume", held.rollout_id, reason):
        after = home.rollouts.resume(
            held.rollout_id, fencing=held.fencing, deadline_at=held.deadline_at, **_signed(reason)
        )
    screen.print(f"{after.rollout_id} is {after.state} at {after.share:.0%}.", highlight=False)
    answer({"rollout": after.rollout_id, "state": after.state}, as_json=as_json)


@app.command()
def advance(reason: Reason, rollout: RolloutId = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Go to the next step now: out of the shadow stage, for one, where the two models rightly disagree."""
    home = _home()
    from flows.standing import next_deadline

    active = _decided(home, rollout, "advance", reason, yes=yes)
    deadline = next_deadline(active, now=utc_now())
    with audited(home.settings, "canary advance", active.rollout_id, reason):
        after = home.rollouts.advance(
            active.rollout_id, fencing=active.fencing, deadline_at=deadline, **_signed(reason)
        )
    screen.print(f"{after.rollout_id} serves {after.share:.0%} of users.", highlight=False)
    answer({"rollout": after.rollout_id, "state": after.state, "share": after.share}, as_json=as_json)


@app.command()
def history(at: At = "", as_json: AsJson = False) -> None:
    """Show every champion and every rollout; with --at, who was champion at that moment."""
    if at:
        champion(at=at, as_json=as_json)
        return
    home = _home()
    from flows.commands.rollout_pages import history_page, show
    from flows.standing import history as all_of

    document = all_of(home)
    if not as_json:
        show(screen, history_page(document))
    answer(document, as_json=as_json)


@app.command()
def champion(at: At = "", as_json: AsJson = False) -> None:
    """Say who is champion, or who was at a moment."""
    moment = read_moment(at) if at else utc_now()
    home = _home()
    from flows.commands.rollout_pages import champion_page, show
    from flows.standing import champion_at

    document = champion_at(home, moment)
    if not as_json:
        show(screen, champion_page(document))
    answer(document, as_json=as_json)


@app.command()
def explain(rollout: RolloutId = "", as_json: AsJson = False) -> None:
    """Show every verdict of a rollout: users, estimate, bounds, e-values, the rule that fired, in words."""
    home = _home()
    from flows.commands.rollout_pages import explanation_page, show
    from flows.standing import chosen, explanation

    document = explanation(home, chosen(home, rollout, action="explain", newest=True).rollout_id)
    if not as_json:
        show(screen, explanation_page(document))
    answer(document, as_json=as_json)


def _home() -> "Platform":
    settings = read_settings()
    from flows.wiring import connect

    return connect(settings)


def _decided(home: "Platform", rollout_id: str, action: str, reason: str, *, yes: bool) -> "Rollout":
    """Return the rollout that a person's decision is about, as it was when the person agreed."""
    from flows.standing import chosen, last_words

    if not reason.strip():
        raise typer.BadParameter("say why in a few words: they are kept with the change.", param_hint="--reason")
    rollout = chosen(home, rollout_id, action=action)
    words = last_words(home.rollouts.verdicts(rollout.rollout_id))
    state = rollout.state.replace("_", " ")
    screen.print(f"{rollout.rollout_id} is {state} at {rollout.share:.0%}. {words}", highlight=False, markup=False)
    confirm(f"{action.capitalize()} it?", is_agreed=yes)
    return rollout


def _signed(reason: str) -> _Signature:
    return {"now": utc_now(), "by": user_name(), "reason": reason.strip()}


def _acting(reason: str) -> _Acting:
    return {"now": utc_now(), "actor": f"cli:{user_name()}", "reason": reason.strip()}
