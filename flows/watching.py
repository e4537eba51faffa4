"""A rollout, followed on a terminal until it ends."""

from time import sleep

from rich.console import Console
from rich.live import Live

from flows.clock import utc_now
from flows.commands.rollout_pages import standing_page
from flows.standing import Document, standing
from flows.wiring import Platform
from infra.rollout_records import Rollout


def follow(home: Platform, rollout_id: str, *, screen: Console, every_seconds: float) -> Rollout:
    """Show a rollout until it ends, and return it as it then is.

    On a terminal one page is rewritten; elsewhere, as in a log, a line is printed whenever something changed.
    """
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            while (rollout := home.rollouts.rollout(rollout_id)).is_active:
                live.update(standing_page(standing(home, now=utc_now())), refresh=True)
                sleep(every_seconds)
    else:
        rollout = _log(home, rollout_id, screen=screen, every_seconds=every_seconds)
    end = home.rollouts.transitions(rollout_id)[-1]
    state = rollout.state.replace("_", " ")
    screen.print(f"{rollout_id}: {state} by {end.by}: {end.reason}", highlight=False, markup=False)
    return rollout


def _log(home: Platform, rollout_id: str, *, screen: Console, every_seconds: float) -> Rollout:
    said = ""
    while (rollout := home.rollouts.rollout(rollout_id)).is_active:
        line = _line(standing(home, now=utc_now()))
        if line not in {said, ""}:
            screen.print(line, highlight=False, markup=False, soft_wrap=True)
            said = line
        sleep(every_seconds)
    return rollout


def _line(document: Document) -> str:
    rollout = document["rollout"]
    if rollout is None:  # it ended between two readings
        return ""
    return f"{rollout['id']}: {rollout['state']} at {rollout['share']:.0%}. {rollout['verdict']['words']}"
