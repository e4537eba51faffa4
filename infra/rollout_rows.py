"""Reads rollouts, champions and verdicts from their rows, inside a transaction that somebody else opened."""

import math
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, desc, select

from infra.rollout_records import (
    Champion,
    ModelReference,
    RecordedVerdict,
    Rollout,
    RolloutState,
    Transition,
    champions,
    rollout_transitions,
    rollouts,
)
from recmodels.errors import StoreError


def current_champion(connection: Connection, *, until: datetime | None = None) -> Champion | None:
    """Return the newest champion, or the newest until a moment; None before the first one."""
    query = select(champions).order_by(desc(champions.c.id)).limit(1)
    if until is not None:
        query = query.where(champions.c.since <= until)
    row = connection.execute(query).one_or_none()
    return None if row is None else to_champion(row)


def find_rollout(connection: Connection, rollout_id: str) -> Rollout | None:
    """Return a rollout, or None."""
    row = connection.execute(select(rollouts).where(rollouts.c.rollout_id == rollout_id)).one_or_none()
    return None if row is None else to_rollout(row)


def get_rollout(connection: Connection, rollout_id: str) -> Rollout:
    """Return a rollout.

    Raises:
        StoreError: There is none with this id.
    """
    rollout = find_rollout(connection, rollout_id)
    if rollout is None:
        known = (
            connection.execute(select(rollouts.c.rollout_id).order_by(desc(rollouts.c.created_at)).limit(5))
            .scalars()
            .all()
        )
        raise StoreError(f"there is no rollout {rollout_id!r}. The newest: {', '.join(known) or 'none yet'}.")
    return rollout


def active_rollout(connection: Connection) -> Rollout | None:
    """Return the rollout that can still change, or None."""
    row = connection.execute(select(rollouts).where(rollouts.c.active == 1)).one_or_none()
    return None if row is None else to_rollout(row)


def last_transition(connection: Connection, rollout_id: str) -> Transition:
    """Return the newest change of a rollout."""
    query = select(rollout_transitions).where(rollout_transitions.c.rollout_id == rollout_id)
    return to_transition(connection.execute(query.order_by(desc(rollout_transitions.c.id)).limit(1)).one())


def to_champion(row: Row[Any]) -> Champion:
    """Read a champion from its row."""
    return Champion(row.digest, row.version, row.since, row.reason, row.rollout_id, row.by)


def to_rollout(row: Row[Any]) -> Rollout:
    """Read a rollout from its row."""
    return Rollout(
        rollout_id=row.rollout_id,
        state=RolloutState(row.state),
        challenger=ModelReference(row.digest, row.version),
        champion=ModelReference(row.champion_digest, row.champion_version),
        steps=tuple(row.steps),
        step=row.step,
        share=row.share,
        salt=row.salt,
        fencing=row.fencing,
        config=row.config,
        cause=row.cause,
        is_forced=row.is_forced,
        created_at=row.created_at,
        updated_at=row.updated_at,
        step_started_at=row.step_started_at,
        deadline_at=row.deadline_at,
    )


def to_transition(row: Row[Any]) -> Transition:
    """Read a change from its row."""
    state = RolloutState(row.state)
    return Transition(row.rollout_id, row.fencing, state, row.step, row.share, row.at, row.by, row.reason)


def verdict_row(verdict: RecordedVerdict) -> dict[str, Any]:
    """Return the columns of a verdict; what JSON and databases cannot hold becomes None, or the largest number."""
    row = {
        name: getattr(verdict, name)
        for name in ("at", "step", "action", "rule", "words", "users_canary", "users_control")
    }
    row |= {name: _finite(getattr(verdict, name)) for name in ("estimate", "lower", "upper", "relative")}
    row["e_values"] = {name: min(value, 1e300) for name, value in verdict.e_values.items() if not math.isnan(value)}
    return row


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def to_verdict(row: Row[Any]) -> RecordedVerdict:
    """Read a verdict from its row."""
    names = RecordedVerdict.__dataclass_fields__
    return RecordedVerdict(**{name: getattr(row, name) for name in names})
