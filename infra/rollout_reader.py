"""Who serves and how every rollout went, as it is written; nothing is changed here."""

from datetime import datetime

from sqlalchemy import desc, select

from infra.database import Database
from infra.rollout_records import (
    Champion,
    ModelReference,
    RecordedVerdict,
    Rollout,
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
    get_rollout,
    to_champion,
    to_rollout,
    to_transition,
    to_verdict,
)


class RolloutReader:
    """Reads rollouts, over one database.

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
