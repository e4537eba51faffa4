"""What people decide about a rollout, also two at the same moment: an abort beats a promotion, and both are told.

Whichever the database commits first, the rollout ends rolled back. Where the abort came first the promotion is refused,
and the refusal names who aborted. Where the promotion came first the abort undoes it, and says whose it undid; whoever
promoted is told too, since a promotion waits for a moment and looks again. Both stand in the audit log.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from infra.audit_log import DONE, REFUSED, AuditLog
from infra.rollout_records import Champion, Rollout, RolloutState, Transition
from infra.rollouts import RolloutStore
from recmodels.errors import StoreError

WATCH_SECONDS: Final = 2.0
"""How long a promotion waits for an abort that was under way when it was decided."""

JUST_PROMOTED: Final = timedelta(seconds=60)
"""How long an abort that names no rollout still means the one that was just promoted."""

_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Decision:
    """What a decision led to.

    Attributes:
        rollout: As it stands.
        champion: Who serves everyone outside of it.
        words: What came of it, and what somebody else did at that moment.
        is_undone: A promotion that somebody's abort undid.
    """

    rollout: Rollout
    champion: Champion
    words: str
    is_undone: bool = False


class Decisions:
    """Promotions and aborts by people, over one database.

    Args:
        rollouts: Where they are carried out.
        log: Where they are recorded; None where the caller records every outcome and the words of it.
    """

    def __init__(self, rollouts: RolloutStore, log: AuditLog | None) -> None:
        self._rollouts = rollouts
        self._log = log

    def promote(
        self,
        rollout_id: str,
        *,
        fencing: int,
        actor: str,
        reason: str,
        now: datetime,
        watch_seconds: float = WATCH_SECONDS,
    ) -> Decision:
        """Make the challenger champion, and wait whether somebody aborts at the same moment.

        Args:
            rollout_id: The rollout.
            fencing: Its token when the person decided.
            actor: Who, as the audit log names them: ``cli:ana``.
            reason: Why.
            now: The moment.
            watch_seconds: How long to wait for an abort.

        Raises:
            StoreError: Somebody changed the rollout since the person looked; the message names them and what they did.
        """
        try:
            made = self._rollouts.promote(rollout_id, fencing=fencing, now=now, by=_name(actor), reason=reason)
        except StoreError as error:
            self._record(actor, "canary promote", rollout_id, REFUSED, f"{reason}: {error}", now)
            raise
        self._record(actor, "canary promote", rollout_id, DONE, f"version {made.version} is champion: {reason}", now)
        undone = self._undone(rollout_id, seconds=watch_seconds)
        if undone is None:
            return self._decision(rollout_id, f"Version {made.version} is champion.")
        words = (
            f"{undone.by} aborted at the same moment ({undone.reason or 'no reason given'}), and an abort beats a"
            f" promotion: version {self._champion().version} serves everyone again."
        )
        self._record(actor, "canary promote", rollout_id, REFUSED, words, max(now, undone.at))
        return self._decision(rollout_id, words, is_undone=True)

    def abort(self, rollout_id: str, *, actor: str, reason: str, now: datetime) -> Decision:
        """Take the challenger out of traffic, or undo its promotion as long as it still serves.

        Args:
            rollout_id: The rollout.
            actor: Who, as the audit log names them: ``cli:ana``.
            reason: Why.
            now: The moment.

        Raises:
            StoreError: The rollout is unknown, or it was promoted and another champion followed.
        """
        try:
            self._rollouts.roll_back(rollout_id, fencing=None, now=now, by=_name(actor), reason=reason)
        except StoreError as error:
            self._record(actor, "canary abort", rollout_id, REFUSED, f"{reason}: {error}", now)
            raise
        words = self._of_abort(self._rollouts.transitions(rollout_id), by=_name(actor), now=now)
        self._record(actor, "canary abort", rollout_id, DONE, f"{reason}: {words}", now)
        return self._decision(rollout_id, words)

    def _of_abort(self, traces: list[Transition], *, by: str, now: datetime) -> str:
        """Tell what an abort found: a rollout under way, somebody's promotion, or somebody's abort."""
        serves = f"version {self._champion().version} serves everyone."
        last, before = traces[-1], traces[-2]
        if (last.at, last.by) != (now, by):
            return f"{last.by} had aborted it already at {last.at:%H:%M:%S} ({last.reason}): {serves}"
        if before.state == RolloutState.PROMOTED:
            return f"{before.by} had promoted it at {before.at:%H:%M:%S} ({before.reason}); that is undone: {serves}"
        return serves.capitalize()

    def _undone(self, rollout_id: str, *, seconds: float) -> Transition | None:
        deadline = time.monotonic() + seconds
        while True:
            last = self._rollouts.transitions(rollout_id)[-1]
            if last.state == RolloutState.ROLLED_BACK:
                return last
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_SECONDS)

    def _champion(self) -> Champion:
        champion = self._rollouts.champion()
        assert champion is not None, "a rollout has a champion beside it"
        return champion

    def _decision(self, rollout_id: str, words: str, *, is_undone: bool = False) -> Decision:
        return Decision(self._rollouts.rollout(rollout_id), self._champion(), words, is_undone)

    def _record(self, actor: str, action: str, rollout_id: str, outcome: str, words: str, now: datetime) -> None:
        if self._log is not None:
            self._log.append(actor=actor, action=action, subject=rollout_id, outcome=outcome, words=words, now=now)


def _name(actor: str) -> str:
    """Return the name without where it came from, as the traces of rollouts have it."""
    return actor.partition(":")[2] or actor
