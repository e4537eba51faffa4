"""Who serves, now and at any time: champions, rollouts with their verdicts, and the one row that gateways poll.

Every change is one transaction. A change that comes from a controller carries the fencing token that it last
saw; when somebody else changed the rollout meanwhile it is refused, and the refusal says who won. An abort beats a
promotion: `roll_back` without a token always succeeds, even on a rollout that was just promoted.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, desc, func, insert, select, update

from infra.database import Database
from infra.rollout_records import (
    ACTIVE_STATES,
    Champion,
    ModelReference,
    Plan,
    RecordedVerdict,
    Rollout,
    RolloutState,
    Serving,
    Transition,
    champions,
    rollout_transitions,
    rollouts,
    serving,
    verdicts,
)
from infra.rollout_rows import (
    active_rollout,
    current_champion,
    find_rollout,
    get_rollout,
    last_transition,
    to_champion,
    to_rollout,
    to_transition,
    to_verdict,
    verdict_row,
)
from recmodels.errors import StoreError

__all__ = [
    "ACTIVE_STATES",
    "Champion",
    "ModelReference",
    "Plan",
    "RecordedVerdict",
    "Rollout",
    "RolloutState",
    "RolloutStore",
    "Serving",
    "Transition",
]


class RolloutStore:
    """The state machine of rollouts, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def serving(self) -> Serving:
        """Return what gateways are to serve; a store without a champion returns the empty `Serving`."""
        with self._database.read() as connection:
            row = connection.execute(select(serving)).one_or_none()
        if row is None:
            return Serving()
        challenger = (
            None if row.challenger_digest is None else ModelReference(row.challenger_digest, row.challenger_version)
        )
        return Serving(
            champion=ModelReference(row.champion_digest, row.champion_version),
            challenger=challenger,
            share=row.share,
            salt=row.salt,
            rollout_id=row.rollout_id,
            step=row.step,
            state=row.state,
            revision=row.revision,
            changed_at=row.changed_at,
        )

    def champion(self) -> Champion | None:
        """Return who serves now, or None before the first champion."""
        with self._database.read() as connection:
            return current_champion(connection)

    def champion_at(self, moment: datetime) -> Champion | None:
        """Return who served at `moment`, or None if nobody did yet."""
        with self._database.read() as connection:
            return current_champion(connection, until=moment)

    def history(self) -> list[Champion]:
        """Return every champion, the first one first; each served until the next one's `since`."""
        with self._database.read() as connection:
            return [to_champion(row) for row in connection.execute(select(champions).order_by(champions.c.id))]

    def set_bootstrap_champion(self, model: ModelReference, *, now: datetime, by: str, reason: str) -> Champion:
        """Make `model` the first champion, without a canary since there is nothing to compare with.

        Doing it again with the same model changes nothing.

        Raises:
            StoreError: Another model is champion already.
        """
        with self._database.begin(lock="rollouts") as connection:
            current = current_champion(connection)
            if current is None:
                _crown(connection, model, now=now, by=by, reason=reason, rollout_id=None)
                _project(connection, champion=model, rollout=None, now=now)
                current = current_champion(connection)
            assert current is not None
        if current.digest != model.digest:
            raise StoreError(
                f"bundle {model.digest[:12]} cannot become the first champion: version {current.version} serves since"
                f" {current.since.isoformat()}. Start a rollout instead."
            )
        return current

    def start(self, plan: Plan, *, now: datetime, by: str) -> Rollout:
        """Start a rollout at its first step, or in the shadow stage; starting the same `rollout_id` again returns it.

        Raises:
            StoreError: Another rollout is active, there is no champion, or the challenger is the champion.
        """
        with self._database.begin(lock="rollouts") as connection:
            known = find_rollout(connection, plan.rollout_id)
            if known is not None:
                return known
            champion = current_champion(connection)
            _refuse_start(connection, plan, champion=champion)
            assert champion is not None
            connection.execute(insert(rollouts).values(_first_row(plan, champion=champion, now=now)))
            return _record(connection, plan.rollout_id, now=now, by=by, reason=plan.cause)

    def rollout(self, rollout_id: str) -> Rollout:
        """Return one rollout.

        Raises:
            StoreError: There is none with this id.
        """
        with self._database.read() as connection:
            return get_rollout(connection, rollout_id)

    def rollouts(self) -> list[Rollout]:
        """Return every rollout, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(rollouts).order_by(desc(rollouts.c.created_at)))
            return [to_rollout(row) for row in rows]

    def active(self) -> Rollout | None:
        """Return the rollout that is in the shadow stage, running or held, or None."""
        with self._database.read() as connection:
            return active_rollout(connection)

    def take_over(self, rollout_id: str, *, now: datetime, by: str) -> Rollout:
        """Issue a new fencing token, so that whatever another controller still tries is refused.

        Raises:
            StoreError: The rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = _open(connection, rollout_id, fencing=None, action="take over")
            return _change(connection, rollout, {}, now=now, by=by, reason="a controller took over")

    def record_verdict(self, rollout_id: str, verdict: RecordedVerdict, *, fencing: int) -> None:
        """Keep one look of the judge; the fencing token stays as it is.

        Raises:
            StoreError: The token is stale, or the rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            _open(connection, rollout_id, fencing=fencing, action="record a verdict on")
            connection.execute(insert(verdicts).values(rollout_id=rollout_id, **verdict_row(verdict)))

    def verdicts(self, rollout_id: str) -> list[RecordedVerdict]:
        """Return the recorded looks at one rollout, the first one first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(verdicts).where(verdicts.c.rollout_id == rollout_id).order_by(verdicts.c.id)
            )
            return [to_verdict(row) for row in rows]

    def transitions(self, rollout_id: str | None = None) -> list[Transition]:
        """Return every change of one rollout, or of all, the first one first."""
        query = select(rollout_transitions).order_by(rollout_transitions.c.id)
        if rollout_id is not None:
            query = query.where(rollout_transitions.c.rollout_id == rollout_id)
        with self._database.read() as connection:
            return [to_transition(row) for row in connection.execute(query)]

    def advance(
        self, rollout_id: str, *, fencing: int, now: datetime, by: str, reason: str, deadline_at: datetime | None = None
    ) -> Rollout:
        """Go to the next step, from the shadow stage to the first one.

        Raises:
            StoreError: The token is stale, the rollout is neither in the shadow stage nor running, or at its last step.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = _open(connection, rollout_id, fencing=fencing, action="advance")
            _require(rollout, RolloutState.SHADOW, RolloutState.RUNNING, action="advance")
            step = rollout.step + 1
            if step == len(rollout.steps):
                raise StoreError(
                    f"rollout {rollout_id!r} is at its last step ({rollout.share:.0%}): promote it or roll it back."
                )
            values = {
                "state": RolloutState.RUNNING,
                "step": step,
                "share": rollout.steps[step],
                "step_started_at": now,
                "deadline_at": deadline_at,
            }
            return _change(connection, rollout, values, now=now, by=by, reason=reason)

    def hold(
        self, rollout_id: str, *, fencing: int, now: datetime, by: str, reason: str, deadline_at: datetime | None = None
    ) -> Rollout:
        """Freeze the rollout at its share until `resume`, `promote` or `roll_back`; holding twice changes nothing.

        Somebody else's hold over a held rollout is recorded as theirs: what a controller held and then a person, the
        controller may not resume.

        Args:
            rollout_id: The rollout.
            fencing: Token that the caller last saw.
            now: The moment of the change.
            by: Who holds it.
            reason: Why, in words.
            deadline_at: When the hold rolls back; None keeps the deadline that stands.

        Raises:
            StoreError: The token is stale, or the rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = _open(connection, rollout_id, fencing=fencing, action="hold")
            if rollout.state == RolloutState.HELD and last_transition(connection, rollout_id).by == by:
                return rollout
            values = {"state": RolloutState.HELD, "deadline_at": deadline_at or rollout.deadline_at}
            return _change(connection, rollout, values, now=now, by=by, reason=reason)

    def resume(
        self, rollout_id: str, *, fencing: int, now: datetime, by: str, reason: str, deadline_at: datetime | None = None
    ) -> Rollout:
        """Let a held rollout go on at the step where it stands.

        Raises:
            StoreError: The token is stale, or the rollout is not held.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = _open(connection, rollout_id, fencing=fencing, action="resume")
            _require(rollout, RolloutState.HELD, action="resume")
            state = RolloutState.SHADOW if rollout.step < 0 else RolloutState.RUNNING
            values = {"state": state, "deadline_at": deadline_at}
            return _change(connection, rollout, values, now=now, by=by, reason=reason)

    def promote(self, rollout_id: str, *, fencing: int, now: datetime, by: str, reason: str) -> Champion:
        """Make the challenger champion, in the same transaction that ends the rollout.

        Raises:
            StoreError: The token is stale, or the rollout was rolled back, promoted or is unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = _open(connection, rollout_id, fencing=fencing, action="promote")
            _crown(connection, rollout.challenger, now=now, by=by, reason=reason, rollout_id=rollout_id)
            values = {"state": RolloutState.PROMOTED, "share": 0.0, "deadline_at": None}
            _change(connection, rollout, values, now=now, by=by, reason=reason)
            champion = current_champion(connection)
            assert champion is not None
            return champion

    def roll_back(self, rollout_id: str, *, fencing: int | None, now: datetime, by: str, reason: str) -> Rollout:
        """Take the challenger out of traffic; without a token this is a person's abort, which beats everybody.

        A rollout that was promoted is undone as long as its challenger still serves: the champion before it serves
        again. Rolling back twice changes nothing.

        Args:
            rollout_id: The rollout.
            fencing: Token that the controller last saw, or None for an abort that asks nobody.
            now: The moment of the change.
            by: Who rolls it back.
            reason: Why, in words.

        Raises:
            StoreError: The token is stale, the rollout is unknown, or it was promoted and another champion followed.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = get_rollout(connection, rollout_id)
            if rollout.state == RolloutState.ROLLED_BACK:
                return rollout
            _check_token(connection, rollout, fencing=fencing, action="roll back")
            if rollout.state == RolloutState.PROMOTED:
                _undo_promotion(connection, rollout, now=now, by=by, reason=reason)
            values = {"state": RolloutState.ROLLED_BACK, "share": 0.0, "deadline_at": None}
            return _change(connection, rollout, values, now=now, by=by, reason=reason)


def _refuse_start(connection: Connection, plan: Plan, *, champion: Champion | None) -> None:
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


def _first_row(plan: Plan, *, champion: Champion, now: datetime) -> dict[str, Any]:
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


def _open(connection: Connection, rollout_id: str, *, fencing: int | None, action: str) -> Rollout:
    rollout = get_rollout(connection, rollout_id)
    _check_token(connection, rollout, fencing=fencing, action=action)
    _require(rollout, *ACTIVE_STATES, action=action)
    return rollout


def _check_token(connection: Connection, rollout: Rollout, *, fencing: int | None, action: str) -> None:
    if fencing is None or fencing == rollout.fencing:
        return
    last = last_transition(connection, rollout.rollout_id)
    raise StoreError(
        f"cannot {action} rollout {rollout.rollout_id!r} with token {fencing}: {last.by} changed it to {last.state} at"
        f" {last.at.isoformat()} ({last.reason or 'no reason given'}), and its token is {rollout.fencing}."
        " Read it again and decide anew."
    )


def _require(rollout: Rollout, *states: RolloutState, action: str) -> None:
    if rollout.state not in states:
        known = " or ".join(states)
        raise StoreError(f"cannot {action} rollout {rollout.rollout_id!r}: it is {rollout.state}, and must be {known}.")


def _change(
    connection: Connection, rollout: Rollout, values: Mapping[str, Any], *, now: datetime, by: str, reason: str
) -> Rollout:
    """Write the change where the token is still the one that was read, then its trace and its projection."""
    state = values.get("state", rollout.state)
    statement = (
        update(rollouts)
        .where(rollouts.c.rollout_id == rollout.rollout_id, rollouts.c.fencing == rollout.fencing)
        .values(**values, active=1 if state in ACTIVE_STATES else None, fencing=rollout.fencing + 1, updated_at=now)
    )
    if connection.execute(statement).rowcount != 1:
        _check_token(connection, get_rollout(connection, rollout.rollout_id), fencing=rollout.fencing, action="change")
    return _record(connection, rollout.rollout_id, now=now, by=by, reason=reason)


def _record(connection: Connection, rollout_id: str, *, now: datetime, by: str, reason: str) -> Rollout:
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
    _project(connection, champion=ModelReference(champion.digest, champion.version), rollout=rollout, now=now)
    return rollout


def _project(connection: Connection, *, champion: ModelReference, rollout: Rollout | None, now: datetime) -> None:
    """Rewrite the row that gateways poll."""
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


def _crown(
    connection: Connection, model: ModelReference, *, now: datetime, by: str, reason: str, rollout_id: str | None
) -> None:
    values = {
        "digest": model.digest,
        "version": model.version,
        "since": now,
        "reason": reason,
        "rollout_id": rollout_id,
    }
    connection.execute(insert(champions).values(**values, by=by))


def _undo_promotion(connection: Connection, rollout: Rollout, *, now: datetime, by: str, reason: str) -> None:
    current = current_champion(connection)
    assert current is not None
    if current.rollout_id != rollout.rollout_id:
        raise StoreError(
            f"rollout {rollout.rollout_id!r} was promoted, and version {current.version} followed it as champion at"
            f" {current.since.isoformat()}. Start a rollout of the model you want instead."
        )
    _crown(connection, rollout.champion, now=now, by=by, reason=f"rolled back: {reason}", rollout_id=None)
