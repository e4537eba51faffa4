"""Promote, abort, hold and resume a rollout: the same fenced transitions as on the command line."""

import asyncio
from collections.abc import Awaitable, Callable

from infra.console.verbs import REASON, Form, Operator, Question, Verb
from infra.rollout_decisions import Decisions
from infra.rollouts import Rollout, RolloutStore
from recmodels.errors import StoreError

_FOLLOWS = "The gateway follows within a second."
_Do = Callable[[RolloutStore, Operator, Form], str]


def verbs() -> tuple[Verb, ...]:
    """Return the actions on rollouts."""
    return (
        Verb("promote", "canary promote", "rollout", _ask_promote, _in_thread(_promote)),
        Verb("abort", "canary abort", "rollout", _ask_abort, _in_thread(_abort)),
        Verb("hold", "canary hold", "rollout", _ask_hold, _in_thread(_hold)),
        Verb("resume", "canary resume", "rollout", _ask_resume, _in_thread(_resume)),
    )


async def _ask_promote(operator: Operator, form: Form) -> Question:
    rollout, last = await _read(operator, form)
    facts = (
        last,
        f"Version {rollout.challenger.version} serves everyone within a second, in place of version"
        f" {rollout.champion.version}, whatever the judge waits for. An abort still undoes it.",
    )
    title = f"Promote version {rollout.challenger.version}?"
    return _question(rollout, title, facts, f"Promote version {rollout.challenger.version}", is_grave=True)


async def _ask_abort(operator: Operator, form: Form) -> Question:
    rollout, last = await _read(operator, form)
    facts = (
        last,
        f"The challenger, version {rollout.challenger.version}, is taken out of traffic within a second, and version"
        f" {rollout.champion.version} serves everyone. An abort beats a promotion that somebody makes at the same"
        " moment.",
    )
    title = f"Abort the rollout of version {rollout.challenger.version}?"
    return _question(rollout, title, facts, "Abort the rollout", is_grave=True)


async def _ask_hold(operator: Operator, form: Form) -> Question:
    rollout, last = await _read(operator, form)
    facts = (last, f"Its share stays at {rollout.share:.0%} until it is resumed; the judge may still roll it back.")
    return _question(rollout, f"Hold the rollout of version {rollout.challenger.version}?", facts, "Hold it")


async def _ask_resume(operator: Operator, form: Form) -> Question:
    rollout, last = await _read(operator, form)
    facts = (last, "It goes on at the step where it stands.")
    return _question(rollout, f"Resume the rollout of version {rollout.challenger.version}?", facts, "Resume it")


def _question(rollout: Rollout, title: str, facts: tuple[str, ...], button: str, *, is_grave: bool = False) -> Question:
    hidden = {"rollout": rollout.rollout_id, "fencing": str(rollout.fencing)}
    back = f"/rollouts/{rollout.rollout_id}"
    return Question(title, facts, button, (REASON,), hidden, is_grave=is_grave, back=back)


async def _read(operator: Operator, form: Form) -> tuple[Rollout, str]:
    def read() -> tuple[Rollout, str]:
        store = RolloutStore(operator.database)
        rollout = store.rollout(form.get("rollout", ""))
        looks = store.verdicts(rollout.rollout_id)
        words = looks[-1].words if looks else "The judge has not looked yet."
        state = rollout.state.replace("_", " ")
        return rollout, f"{rollout.rollout_id} is {state} at {rollout.share:.0%} of users. {words}"

    return await asyncio.to_thread(read)


def _in_thread(do: _Do) -> Callable[[Operator, Form], Awaitable[str]]:
    async def act(operator: Operator, form: Form) -> str:
        return await asyncio.to_thread(do, RolloutStore(operator.database), operator, form)

    return act


def _promote(store: RolloutStore, operator: Operator, form: Form) -> str:
    """Promote, and see for a moment whether somebody aborts: whoever promoted is told, too."""
    made = Decisions(store, None).promote(
        form.get("rollout", ""),
        fencing=_fencing(form),
        actor=operator.actor,
        reason=form["reason"].strip(),
        now=operator.now,
    )
    if made.is_undone:
        raise StoreError(made.words)
    return f"{made.words} {_FOLLOWS}"


def _abort(store: RolloutStore, operator: Operator, form: Form) -> str:
    decisions = Decisions(store, None)
    done = decisions.abort(
        form.get("rollout", ""), actor=operator.actor, reason=form["reason"].strip(), now=operator.now
    )
    return f"{done.words} {_FOLLOWS}"


def _hold(store: RolloutStore, operator: Operator, form: Form) -> str:
    held = store.hold(
        form.get("rollout", ""), fencing=_fencing(form), now=operator.now, by=operator.name, reason=form["reason"]
    )
    return f"{held.rollout_id} is held at {held.share:.0%}."


def _resume(store: RolloutStore, operator: Operator, form: Form) -> str:
    deadline = store.rollout(form.get("rollout", "")).deadline_at
    after = store.resume(
        form.get("rollout", ""),
        fencing=_fencing(form),
        now=operator.now,
        by=operator.name,
        reason=form["reason"],
        deadline_at=deadline,
    )
    return f"{after.rollout_id} is {after.state} at {after.share:.0%}."


def _fencing(form: Form) -> int:
    """Return the token of the rollout that the person saw."""
    given = form.get("fencing", "")
    if not given.isdecimal():
        raise StoreError(f"fencing {given!r} is no token of a rollout. Open the question anew from the rollout's page.")
    return int(given)
