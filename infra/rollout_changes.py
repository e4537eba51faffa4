"""How a rollout changes: the steps of one transaction that somebody else opened.

A change is written only where the token is the one that was read, with its verdict, its trace, and the row that
gateways poll; so what was decided and what is done cannot part.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from infra.rollout_records import (
    ACTIVE_STATES,
    Champion,
    ModelReference,
    Plan,
    RecordedVerdict,
    Rollout,
    RolloutState,
    champions,
    rollout_transitions,
    rollouts,
    serving,
    verdicts,
)
from infra.rollout_rows import active_rollout, current_champion, get_rollout, last_transition, verdict_row
from recmodels.errors import StoreError


def refuse_start(connection: Connection, plan: Plan, *, champion: Champion | None) -> None:
    """Refuse a rollout that has nothing to compare with, nothing to roll out, or another one in its way.

    Raises:
        StoreError: One of the three.
    """
    if champion is None:
        raise StoreError(
            "a rollout needs a champion to compare with, and there is none. Set the first champion instead."
        )
    if champion.digest == plan.challenger.digest:
        raise StoreError(
            f"bundle {champion.digest[:12]} is the champion already (version {champion.version}); nothing to roll out."
        )
    active = active_rollout(connection)
    if active is not None:
        raise StoreError(
            f"rollout {active.rollout_id!r} of version {active.challenger.version} is {active.state} at"
            f" {active.share:.0%}. Promote it or abort it before {plan.rollout_id!r} starts."
        )


def first_row(plan: Plan, *, champion: Champion, now: datetime) -> dict[str, Any]:
    """Return the row of a rollout that begins."""
    return {
        "rollout_id": plan.rollout_id,
        "state": RolloutState.SHADOW if plan.is_shadow else RolloutState.RUNNING,
        "active": 1,
        "digest": plan.challenger.digest,
        "version": plan.challenger.version,
        "champion_digest": champion.digest,
        "champion_version": champion.version,
        "steps": list(plan.steps),
        "step": -1 if plan.is_shadow else 0,
        "share": 0.0 if plan.is_shadow else plan.steps[0],
        "salt": plan.salt or secrets.token_hex(8),
        "fencing": 1,
        "config": dict(plan.config),
        "cause": plan.cause,
        "is_forced": plan.is_forced,
        "created_at": now,
        "updated_at": now,
        "step_started_at": now,
        "deadline_at": plan.deadline_at,
    }


def open_rollout(connection: Connection, rollout_id: str, *, fencing: int | None, action: str) -> Rollout:
    """Return a rollout that can still change, to whoever holds its token.

    Raises:
        StoreError: The token is stale, or the rollout is over or unknown.
    """
    rollout = get_rollout(connection, rollout_id)
    check_token(connection, rollout, fencing=fencing, action=action)
    if rollout.state not in ACTIVE_STATES:
        last = last_transition(connection, rollout_id)
        raise StoreError(
            f"cannot {action} rollout {rollout_id!r}: it is {rollout.state}, and must be {' or '.join(ACTIVE_STATES)}."
            f" {last.by} did that at {last.at.isoformat()} ({last.reason or 'no reason given'})."
        )
    return rollout


def check_token(connection: Connection, rollout: Rollout, *, fencing: int | None, action: str) -> None:
    """Refuse a stale token, and say who changed the rollout; no token is a person's word and passes.

    Raises:
        StoreError: The token is stale.
    """
    if fencing is None or fencing == rollout.fencing:
        return
    last = last_transition(connection, rollout.rollout_id)
    is_over = rollout.state == RolloutState.ROLLED_BACK
    advice = (
        "An abort beats whatever else is decided: start a new rollout." if is_over else "Read it again and decide anew."
    )
    raise StoreError(
        f"cannot {action} rollout {rollout.rollout_id!r} with token {fencing}: {last.by} changed it to {last.state} at"
        f" {last.at.isoformat()} ({last.reason or 'no reason given'}), and its token is {rollout.fencing}. {advice}"
    )


def require_state(rollout: Rollout, *states: RolloutState, action: str) -> None:
    """Refuse what cannot be done in the rollout's state.

    Raises:
        StoreError: It is in none of `states`.
    """
    if rollout.state not in states:
        known = " or ".join(states)
        raise StoreError(f"cannot {action} rollout {rollout.rollout_id!r}: it is {rollout.state}, and must be {known}.")


def change(
    connection: Connection,
    rollout: Rollout,
    values: Mapping[str, Any],
    *,
    now: datetime,
    by: str,
    reason: str,
    verdict: RecordedVerdict | None = None,
) -> Rollout:
    """Write the change where the token is still the one that was read, its verdict, its trace and its projection."""
    if verdict is not None:
        keep_verdict(connection, rollout.rollout_id, verdict)
    state = values.get("state", rollout.state)
    statement = (
        update(rollouts)
        .where(rollouts.c.rollout_id == rollout.rollout_id, rollouts.c.fencing == rollout.fencing)
        .values(**values, active=1 if state in ACTIVE_STATES else None, fencing=rollout.fencing + 1, updated_at=now)
    )
    if connection.execute(statement).rowcount != 1:
        check_token(connection, get_rollout(connection, rollout.rollout_id), fencing=rollout.fencing, action="change")
    return record_change(connection, rollout.rollout_id, now=now, by=by, reason=reason)


def record_change(connection: Connection, rollout_id: str, *, now: datetime, by: str, reason: str) -> Rollout:
    """Write the trace of the state that a rollout has now, and the row that gateways poll."""
    rollout = get_rollout(connection, rollout_id)
    connection.execute(
        insert(rollout_transitions).values(
            rollout_id=rollout_id,
            fencing=rollout.fencing,
            state=rollout.state,
            step=rollout.step,
            share=rollout.share,
            at=now,
            by=by,
            reason=reason,
        )
    )
    champion = current_champion(connection)
    assert champion is not None
    project(connection, champion=ModelReference(champion.digest, champion.version), rollout=rollout, now=now)
    return rollout


def project(connection: Connection, *, champion: ModelReference, rollout: Rollout | None, now: datetime) -> int:
    """Rewrite the row that gateways poll; return its new revision."""
    active = rollout if rollout is not None and rollout.is_active else active_rollout(connection)
    values: dict[str, Any] = {
        "champion_digest": champion.digest,
        "champion_version": champion.version,
        "challenger_digest": active.challenger.digest if active else None,
        "challenger_version": active.challenger.version if active else None,
        "share": active.share if active else 0.0,
        "salt": active.salt if active else "",
        "rollout_id": active.rollout_id if active else None,
        "step": active.step if active else -1,
        "state": active.state if active else "",
        "changed_at": now,
    }
    revision = func.coalesce(serving.c.revision, 0) + 1
    if connection.execute(update(serving).values(**values, revision=revision)).rowcount == 0:
        connection.execute(insert(serving).values(id=1, revision=1, **values))
    return int(connection.execute(select(serving.c.revision)).scalar_one())


def crown(
    connection: Connection, model: ModelReference, *, now: datetime, by: str, reason: str, rollout_id: str | None
) -> None:
    """Write the next champion; the caller writes the row that gateways poll."""
    values = {
        "digest": model.digest,
        "version": model.version,
        "since": now,
        "reason": reason,
        "rollout_id": rollout_id,
    }
    connection.execute(insert(champions).values(**values, by=by))


def keep_verdict(connection: Connection, rollout_id: str, verdict: RecordedVerdict) -> None:
    """Write one look of the judge."""
    connection.execute(insert(verdicts).values(rollout_id=rollout_id, **verdict_row(verdict)))


def undo_promotion(connection: Connection, rollout: Rollout, *, now: datetime, by: str, reason: str) -> None:
    """Make the champion before a promotion serve again.

    Raises:
        StoreError: Another champion followed meanwhile.
    """
    current = current_champion(connection)
    assert current is not None
    if current.rollout_id != rollout.rollout_id:
        raise StoreError(
            f"rollout {rollout.rollout_id!r} was promoted, and version {current.version} followed it as champion at"
            f" {current.since.isoformat()}. Start a rollout of the model you want instead."
        )
    crown(connection, rollout.champion, now=now, by=by, reason=f"rolled back: {reason}", rollout_id=None)
