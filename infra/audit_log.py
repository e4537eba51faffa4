"""The audit log: who changed what, when and with what outcome; rows are added and never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Column, Index, String, Table, Text, insert, select

from infra.columns import BigKey, Moment, metadata
from infra.database import Database

DONE: Final = "done"
"""Outcome of an action that took place."""
REFUSED: Final = "refused"
"""Outcome of an action that was not allowed or came too late; the words say why."""
FAILED: Final = "failed"
"""Outcome of an action that broke down; the words say what went wrong."""

MOST_WORDS: Final = 2000
"""Longest words and subject that are kept; longer ones are cut."""

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("words", Text, nullable=False),
)
Index("ix_audit_log_at", audit_log.c.at)


@dataclass(frozen=True)
class AuditRecord:
    """One action of a person or a program.

    Attributes:
        at: When.
        actor: Who: ``cli:<user of the system>``, ``console:<token>``, ``gateway:<token>``.
        action: What, as a verb of the command line: ``canary promote``.
        subject: On what: a rollout, an item, a token's name; never a user's id.
        outcome: ``done``, ``refused`` or ``failed``.
        words: What a person reads.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str
    words: str


class AuditLog:
    """What people and programs changed, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, *, actor: str, action: str, subject: str, outcome: str, words: str, now: datetime) -> None:
        """Add one record.

        Args:
            actor: Who.
            action: What.
            subject: On what; never a user's id.
            outcome: `DONE`, `REFUSED` or `FAILED`.
            words: What a person reads.
            now: When.

        Raises:
            ValueError: The outcome is another word.
        """
        if outcome not in {DONE, REFUSED, FAILED}:
            raise ValueError(f"outcome {outcome!r} is not known. Expected {DONE!r}, {REFUSED!r} or {FAILED!r}.")
        row = {"at": now, "actor": actor, "action": action, "outcome": outcome}
        row |= {"subject": subject[:MOST_WORDS], "words": words[:MOST_WORDS]}
        with self._database.begin() as connection:
            connection.execute(insert(audit_log).values(row))

    def recent(self, limit: int = 100, *, before: datetime | None = None) -> list[AuditRecord]:
        """Return records, the newest first.

        Args:
            limit: At most so many.
            before: Only what happened before that moment: the next page.
        """
        query = select(audit_log).order_by(audit_log.c.at.desc(), audit_log.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit_log.c.at < before)
        with self._database.read() as connection:
            return [
                AuditRecord(row.at, row.actor, row.action, row.subject, row.outcome, row.words)
                for row in connection.execute(query)
            ]
