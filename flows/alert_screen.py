"""What `everfeed alerts` prints for a person."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.alert_actions import Trial
from flows.alert_board import ChannelLine, IncidentLine, IncidentPage
from infra.outbox import Delivery, SilenceRecord


def print_incidents(screen: Console, lines: Sequence[IncidentLine], silences: Sequence[SilenceRecord]) -> None:
    """Show a table of incidents, and the silences that hold."""
    if lines:
        table = Table("incident", "state", "what", "size", "since", "likely cause", "proposed action")
        for line in lines:
            table.add_row(
                line.incident_id,
                _state(line),
                escape(_what(line)),
                _size(line.size),
                _moment(line.since),
                escape(line.cause),
                escape(line.action),
            )
        screen.print(table)
    else:
        screen.print("No incident.")
    for silence in silences:
        screen.print(
            f"silent until {_moment(silence.until)}: {group_of(silence)}, by {silence.by}: {silence.reason}",
            markup=False,
            highlight=False,
        )


def print_incident(screen: Console, page: IncidentPage) -> None:
    """Show one incident."""
    line = page.line
    facts = [
        f"{line.incident_id}: {line.family} of {line.model or 'the data'}, {_state(line)}",
        f"opened {_moment(line.opened_at)}" + (f", resolved {_moment(line.resolved_at)}" if line.resolved_at else ""),
    ]
    if line.acknowledged_by:
        facts.append(f"{line.acknowledged_by} takes care: {line.acknowledged_note or 'no note'}")
    if line.action:
        facts += [f"likely cause: {line.cause}", f"proposed action: {line.action}"]
    facts += [f"  {sentence}" for sentence in page.sentences]
    facts += [f"sent {_moment(one.created_at)} {one.channel}: {one.key}: {_fate(one)}" for one in page.deliveries]
    screen.print("\n".join(facts), markup=False, highlight=False, soft_wrap=True)


def print_trials(screen: Console, trials: Sequence[Trial]) -> None:
    """Show what each channel said."""
    for trial in trials:
        mark = "[green]took it[/]" if trial.is_delivered else "[red]failed[/]"
        words = f"{escape(trial.channel)} ({escape(trial.plugin)}): {mark} in {trial.seconds:.2f} s"
        screen.print(f"{words} {escape(trial.reason)}", highlight=False)


def print_channels(screen: Console, lines: Sequence[ChannelLine]) -> None:
    """Show a table of channels."""
    table = Table("channel", "plug-in", "waiting", "last delivery", "failing since", "what is wrong")
    for line in lines:
        wrong = line.last_error if line.failing_since else ""
        if line.refusal:
            wrong += f" refused one at {_moment(line.refused_at)}: {line.refusal}"
        plugin = line.plugin if line.is_configured else "not configured"
        table.add_row(
            escape(line.channel),
            escape(plugin),
            str(line.pending),
            _moment(line.delivered_at),
            _moment(line.failing_since),
            escape(wrong.strip()),
        )
    screen.print(table)


def group_of(silence: SilenceRecord) -> str:
    """Return which group a silence is for, in words."""
    whose = {"": "the data", "*": "everything"}.get(silence.model, silence.model)
    return f"{silence.family or 'every family'} of {whose}"


def _what(line: IncidentLine) -> str:
    whose = line.model or "the data"
    if not line.figure:
        return f"{line.family} of {whose}"
    part = f" [{line.slice}]" if line.slice else ""
    more = f" and {line.num_figures - 1} more" if line.num_figures > 1 else ""
    return f"{line.figure}{part}{more} ({line.family} of {whose})"


def _state(line: IncidentLine) -> str:
    if line.state == "acknowledged":
        return f"acknowledged by {line.acknowledged_by}"
    return f"silenced until {_moment(line.silenced_until)}" if line.state == "silenced" else line.state


def _fate(delivery: Delivery) -> str:
    if delivery.delivered_at is not None:
        return f"delivered {_moment(delivery.delivered_at)}"
    if delivery.is_refused:
        return f"refused: {delivery.last_error}"
    return f"waiting after {delivery.attempts} failures: {delivery.last_error}" if delivery.attempts else "waiting"


def _size(size: float | None) -> str:
    return "" if size is None else f"{size:+.1f}"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
