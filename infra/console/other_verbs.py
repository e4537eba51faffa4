"""Acknowledge and silence incidents, pause and resume schedules, ask for a retrain."""

import asyncio

from infra.console.desk import SilenceWish
from infra.console.verbs import REASON, Field, Form, Operator, Question, Verb
from infra.outbox import Outbox
from infra.retrains import Retrain, RetrainStore
from recmodels.errors import StoreError

RETRAIN = "retrain/drift"
"""The deployment that runs retrains."""
_LENGTHS = (("30m", "30 minutes"), ("2h", "2 hours"), ("8h", "8 hours"), ("1d", "1 day"), ("7d", "7 days"))


def verbs() -> tuple[Verb, ...]:
    """Return the actions on incidents, schedules and training."""
    return (
        Verb("ack", "alerts ack", "incident", _ask_ack, _ack, needs_reason=False),
        Verb("silence", "alerts silence", "family", _ask_silence, _silence),
        Verb("unsilence", "alerts unsilence", "family", _ask_unsilence, _unsilence, needs_reason=False),
        Verb("pause", "pause", "schedule", _ask_pause, _pause),
        Verb("unpause", "resume", "schedule", _ask_unpause, _unpause),
        Verb("retrain", "retrain", "reason", _ask_retrain, _retrain),
    )


async def _ask_ack(operator: Operator, form: Form) -> Question:
    record = await asyncio.to_thread(Outbox(operator.database).incident, form.get("incident", ""))
    facts = (
        f"Incident {record.incident_id}: {record.family} figures of {record.model or 'the data'}, {record.state} since"
        f" {record.opened_at:%Y-%m-%d %H:%M} UTC.",
        "The channels are told that you take care. No more updates come until it doubles; that it is over is told.",
    )
    note = Field("note", "Note", is_required=False, hint="What you found, or will do.")
    hidden = {"incident": record.incident_id}
    back = f"/incidents/{record.incident_id}"
    return Question("Take care of this incident?", facts, "Acknowledge", (note,), hidden, back=back)


async def _ack(operator: Operator, form: Form) -> str:
    incident, note = form.get("incident", ""), form.get("note", "")
    return await asyncio.to_thread(operator.desk.acknowledge, incident, operator.name, note)


async def _ask_silence(operator: Operator, form: Form) -> Question:
    model, family = form.get("model", ""), form.get("family", "all") or "all"
    whose = {"": "the data", "*": "everything"}.get(model, model)
    families = tuple((name, name) for name in ("all", *operator.desk.families))
    fields = (
        Field("family", "Figures of family", family, families),
        Field("length", "For how long", "2h", _LENGTHS),
        REASON,
    )
    facts = (
        f"Nobody is told about figures of {whose} for that time. What still is so afterwards is told then.",
        "Incidents stay listed here, and the policy still acts on them.",
    )
    return Question("Silence these alerts?", facts, "Silence", fields, {"model": model}, back="/incidents")


async def _silence(operator: Operator, form: Form) -> str:
    model, family, length = (form.get(name, "") for name in ("model", "family", "length"))
    wish = SilenceWish(model, family, length, form["reason"], operator.name)
    return await asyncio.to_thread(operator.desk.silence, wish)


async def _ask_unsilence(_operator: Operator, form: Form) -> Question:
    model, family = form.get("model", ""), form.get("family", "all") or "all"
    facts = (f"Alerts of {family} of {model or 'the data'} are told again from now on.",)
    hidden = {"model": model, "family": family}
    return Question("End this silence?", facts, "End the silence", (), hidden, back="/incidents")


async def _unsilence(operator: Operator, form: Form) -> str:
    return await asyncio.to_thread(operator.desk.unsilence, form.get("model", ""), form.get("family", ""))


async def _ask_pause(operator: Operator, form: Form) -> Question:
    found = await operator.prefect.schedule(form.get("schedule", ""))
    next_at = f" The next run would be {found.next_at:%Y-%m-%d %H:%M} UTC." if found.next_at else ""
    facts = (
        f"{found.name} ({found.times or 'by hand'}): {found.description}{next_at}",
        "Nothing of it runs until somebody resumes it; what runs now goes on. The pause survives restarts.",
    )
    return Question(f"Pause {found.name}?", facts, "Pause", (REASON,), {"schedule": found.name}, back="/#schedules")


async def _pause(operator: Operator, form: Form) -> str:
    before = await operator.prefect.set_paused(form.get("schedule", ""), is_paused=True)
    return f"{before.name} was paused already." if before.is_paused else f"{before.name} is paused."


async def _ask_unpause(operator: Operator, form: Form) -> Question:
    found = await operator.prefect.schedule(form.get("schedule", ""))
    facts = (f"{found.name} ({found.times or 'by hand'}): {found.description}", "It runs again at its next time.")
    hidden = {"schedule": found.name}
    return Question(f"Resume {found.name}?", facts, "Resume", (REASON,), hidden, back="/#schedules")


async def _unpause(operator: Operator, form: Form) -> str:
    before = await operator.prefect.set_paused(form.get("schedule", ""), is_paused=False)
    return f"{before.name} is resumed." if before.is_paused else f"{before.name} was not paused."


async def _ask_retrain(operator: Operator, _form: Form) -> Question:
    causes = await asyncio.to_thread(_causes, operator)
    facts = (
        "The recipes of the last run are trained on all that is in the lake, events of the gateway first. What comes"
        " of it is a challenger only: the gate and a canary stand before it.",
        f"Open incidents that new data can end: {', '.join(causes) or 'none'}.",
    )
    return Question("Retrain now?", facts, "Retrain", (REASON,), {}, back="/")


async def _retrain(operator: Operator, form: Form) -> str:
    """Write the retrain down, then have it run: what is written down is started by the monitor, too."""
    asked = await asyncio.to_thread(_request, operator, form["reason"])
    parameters = {"retrain_id": asked.retrain_id}
    try:
        await operator.prefect.start(RETRAIN, parameters, key=f"{asked.retrain_id} ", tag="by hand")
    except StoreError as error:
        return (
            f"Retrain {asked.retrain_id} is written down and has not begun: {error} The monitor starts it at its next"
            " run."
        )
    return f"Retrain {asked.retrain_id} begins."


def _request(operator: Operator, reason: str) -> Retrain:
    store = RetrainStore(operator.database)
    known = store.all()
    running = next((one for one in known if one.ended_at is None), None)
    if running is not None:
        raise StoreError(
            f"retrain {running.retrain_id} is {running.state} since"
            f" {running.started_at or running.requested_at:%Y-%m-%d %H:%M} UTC. Wait for its end: one runs at a time."
        )
    causes = [*_causes(operator), f"by-hand-{operator.now:%H%M%S}"]
    words = f"asked for by {operator.name}: {reason}"
    seen = known[0].number if known else 0
    asked = store.request(causes, reason=words, learns_from=None, now=operator.now, seen=seen)
    if asked is None:
        raise StoreError("another retrain was asked for at the same moment. See it on the first page.")
    return asked


def _causes(operator: Operator) -> list[str]:
    known = Outbox(operator.database).incidents()
    return [one.incident_id for one in known if one.family in operator.desk.learnable]
