"""Who serves, now and at any time: champions, rollouts with their verdicts, and the one row that gateways poll.

Every change is one transaction. A change that comes from a controller carries the fencing token that it last
saw; when somebody else changed the rollout meanwhile it is refused, and the refusal says who won. An abort beats a
promotion: `roll_back` without a token always succeeds, even on a rollout that was just promoted.
"""

from datetime import datetime

from sqlalchemy import insert

from infra.rollout_champions import ChampionStore
from infra.rollout_changes import (
    change,
    check_token,
    crown,
    first_row,
    keep_verdict,
    open_rollout,
    record_change,
    refuse_start,
    require_state,
    undo_promotion,
)
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
    rollouts,
)
from infra.rollout_rows import current_champion, find_rollout, get_rollout, last_transition
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


class RolloutStore(ChampionStore):
    """The state machine of rollouts, over one database.

    What the judge concluded is written in the transaction that does it: give the verdict to the method.

    Args:
        database: An open database.
    """

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
            refuse_start(connection, plan, champion=champion)
            assert champion is not None
            connection.execute(insert(rollouts).values(first_row(plan, champion=champion, now=now)))
            return record_change(connection, plan.rollout_id, now=now, by=by, reason=plan.cause)

    def take_over(self, rollout_id: str, *, now: datetime, by: str) -> Rollout:
        """Issue a new fencing token, so that whatever another controller still tries is refused.

        Raises:
            StoreError: The rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = open_rollout(connection, rollout_id, fencing=None, action="take over")
            return change(connection, rollout, {}, now=now, by=by, reason="a controller took over")

    def record_verdict(self, rollout_id: str, verdict: RecordedVerdict, *, fencing: int) -> None:
        """Keep one look of the judge after which nothing changes; the fencing token stays as it is.

        Raises:
            StoreError: The token is stale, or the rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            open_rollout(connection, rollout_id, fencing=fencing, action="record a verdict on")
            keep_verdict(connection, rollout_id, verdict)

    def advance(
        self,
        rollout_id: str,
        *,
        fencing: int,
        now: datetime,
        by: str,
        reason: str,
        deadline_at: datetime | None = None,
        verdict: RecordedVerdict | None = None,
    ) -> Rollout:
        """Go to the next step, from the shadow stage to the first one.

        Raises:
            StoreError: The token is stale, the rollout is neither in the shadow stage nor running, or at its last step.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = open_rollout(connection, rollout_id, fencing=fencing, action="advance")
            require_state(rollout, RolloutState.SHADOW, RolloutState.RUNNING, action="advance")
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
            return change(connection, rollout, values, now=now, by=by, reason=reason, verdict=verdict)

    def hold(
        self,
        rollout_id: str,
        *,
        fencing: int,
        now: datetime,
        by: str,
        reason: str,
        deadline_at: datetime | None = None,
        verdict: RecordedVerdict | None = None,
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
            verdict: The look that says so.

        Raises:
            StoreError: The token is stale, or the rollout is over or unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = open_rollout(connection, rollout_id, fencing=fencing, action="hold")
            if rollout.state == RolloutState.HELD and last_transition(connection, rollout_id).by == by:
                if verdict is not None:
                    keep_verdict(connection, rollout_id, verdict)
                return rollout
            values = {"state": RolloutState.HELD, "deadline_at": deadline_at or rollout.deadline_at}
            return change(connection, rollout, values, now=now, by=by, reason=reason, verdict=verdict)

    def resume(
        self,
        rollout_id: str,
        *,
        fencing: int,
        now: datetime,
        by: str,
        reason: str,
        deadline_at: datetime | None = None,
        verdict: RecordedVerdict | None = None,
    ) -> Rollout:
        """Let a held rollout go on at the step where it stands.

        Raises:
            StoreError: The token is stale, or the rollout is not held.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = open_rollout(connection, rollout_id, fencing=fencing, action="resume")
            require_state(rollout, RolloutState.HELD, action="resume")
            state = RolloutState.SHADOW if rollout.step < 0 else RolloutState.RUNNING
            values = {"state": state, "deadline_at": deadline_at}
            return change(connection, rollout, values, now=now, by=by, reason=reason, verdict=verdict)

    def promote(
        self,
        rollout_id: str,
        *,
        fencing: int,
        now: datetime,
        by: str,
        reason: str,
        verdict: RecordedVerdict | None = None,
    ) -> Champion:
        """Make the challenger champion, in the same transaction that ends the rollout.

        Raises:
            StoreError: The token is stale, or the rollout was rolled back, promoted or is unknown.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = open_rollout(connection, rollout_id, fencing=fencing, action="promote")
            crown(connection, rollout.challenger, now=now, by=by, reason=reason, rollout_id=rollout_id)
            values = {"state": RolloutState.PROMOTED, "share": 0.0, "deadline_at": None}
            change(connection, rollout, values, now=now, by=by, reason=reason, verdict=verdict)
            champion = current_champion(connection)
            assert champion is not None
            return champion

    def roll_back(
        self,
        rollout_id: str,
        *,
        fencing: int | None,
        now: datetime,
        by: str,
        reason: str,
        verdict: RecordedVerdict | None = None,
    ) -> Rollout:
        """Take the challenger out of traffic; without a token this is a person's abort, which beats everybody.

        A rollout that was promoted is undone as long as its challenger still serves: the champion before it serves
        again. Rolling back twice changes nothing.

        Args:
            rollout_id: The rollout.
            fencing: Token that the controller last saw, or None for an abort that asks nobody.
            now: The moment of the change.
            by: Who rolls it back.
            reason: Why, in words.
            verdict: The look that says so; none where a person does.

        Raises:
            StoreError: The token is stale, the rollout is unknown, or it was promoted and another champion followed.
        """
        with self._database.begin(lock="rollouts") as connection:
            rollout = get_rollout(connection, rollout_id)
            if rollout.state == RolloutState.ROLLED_BACK:
                return rollout
            check_token(connection, rollout, fencing=fencing, action="roll back")
            if rollout.state == RolloutState.PROMOTED:
                undo_promotion(connection, rollout, now=now, by=by, reason=reason)
            values = {"state": RolloutState.ROLLED_BACK, "share": 0.0, "deadline_at": None}
            return change(connection, rollout, values, now=now, by=by, reason=reason, verdict=verdict)
