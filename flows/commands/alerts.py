"""`everfeed alerts`: incidents and what is sent about them: list, show, acknowledge, silence, test, channels."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.commands.audited import audited
from flows.commands.common import answer, read_settings, screen, user_name
from flows.options import AsJson

app = typer.Typer(
    name="alerts",
    help="Incidents and what is sent about them: list, show, acknowledge, silence, test, channels.",
    no_args_is_help=True,
)

IncidentId = Annotated[str, typer.Argument(help="Id of the incident, or how it begins, as `alerts list` shows it.")]
By = Annotated[str, typer.Option(help="Who decides; left out, the user of this machine.")]
Model = Annotated[str, typer.Option(help="Whose figures: a model; left out, the data; * for everything.")]
Family = Annotated[
    str, typer.Argument(help="Family: data, population, catalogue, model, serving, delivery, retraining; or all.")
]


@app.callback()
def group() -> None:
    """Incidents and what is sent about them."""


@app.command("list")
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the open incidents: what moved, by how much, since when, where, why, and what is proposed."""
    settings = read_settings()
    from flows.alert_board import read_incidents, read_silences
    from flows.alert_screen import print_incidents

    found, silences = read_incidents(settings, everything=everything), read_silences(settings)
    if not as_json:
        print_incidents(screen, found, silences)
    document = {"incidents": [one.document() for one in found], "silences": [asdict(one) for one in silences]}
    answer(document, as_json=as_json)


@app.command()
def show(incident: IncidentId, as_json: AsJson = False) -> None:
    """Show one incident with every figure, who takes care, and what each channel was sent."""
    settings = read_settings()
    from flows.alert_board import read_incident
    from flows.alert_screen import print_incident

    found = read_incident(settings, incident)
    if not as_json:
        print_incident(screen, found)
    answer(found.document(), as_json=as_json)


@app.command()
def ack(
    incident: IncidentId,
    note: Annotated[str, typer.Option(help="What you found, or will do.")] = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Take care of an incident: no more updates until it doubles; that it is over is always told."""
    settings = read_settings()
    from flows.alert_actions import acknowledge

    with audited(settings, "alerts ack", incident, note) as deed:
        taken = acknowledge(settings, incident, by=by or user_name(), note=note)
        deed.subject = taken.incident_id
    if not as_json:
        screen.print(f"{taken.incident_id} is acknowledged by {taken.acknowledged_by}.", markup=False)
    answer(taken.document(), as_json=as_json)


@app.command()
def silence(
    family: Family,
    length: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 3d.")],
    reason: Annotated[str, typer.Option(help="Why, for the others.")],
    model: Model = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Tell nobody about a group for a time; what still is so afterwards is told then."""
    settings = read_settings()
    from flows.alert_actions import add_silence
    from flows.alert_screen import group_of

    with audited(settings, "alerts silence", _group(model, family), f"for {length}: {reason}"):
        added = add_silence(settings, model=model, family=family, length=length, reason=reason, by=by or user_name())
    if not as_json:
        screen.print(f"Silent until {added.until:%Y-%m-%d %H:%M} UTC: {group_of(added)}.", markup=False)
    answer(asdict(added), as_json=as_json)


@app.command()
def unsilence(family: Family, model: Model = "", as_json: AsJson = False) -> None:
    """End the silence of a group now."""
    settings = read_settings()
    from flows.alert_actions import end_silence

    with audited(settings, "alerts unsilence", _group(model, family)):
        ended = end_silence(settings, model=model, family=family)
    if not as_json:
        screen.print(f"Silences ended: {ended}.")
    answer({"ended": ended}, as_json=as_json)


@app.command("test")
def try_out(
    channel: Annotated[str, typer.Argument(help="Name of a channel; left out, all of them.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a test incident, opened and resolved, through one channel or all, and show what each said."""
    settings = read_settings()
    from flows.alert_actions import try_channels
    from flows.alert_screen import print_trials

    trials = try_channels(settings, channel)
    if not as_json:
        print_trials(screen, trials)
    answer({"channels": [asdict(trial) for trial in trials]}, as_json=as_json)
    if not all(trial.is_delivered for trial in trials):
        raise typer.Exit(1)


@app.command()
def channels(as_json: AsJson = False) -> None:
    """Show each channel: what it is, what waits for it, since when it fails, and why."""
    settings = read_settings()
    from flows.alert_board import read_channels
    from flows.alert_screen import print_channels

    found = read_channels(settings)
    if not as_json:
        print_channels(screen, found)
    answer({"channels": [asdict(line) for line in found]}, as_json=as_json)


def _group(model: str, family: str) -> str:
    return f"{family} of {model or 'the data'}"
