"""Which quarantined rows were released, by whom, when and why: marks beside the quarantine, which never shrinks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, String, Table, Text, delete, func, select

from infra.columns import BigKey, Moment, metadata
from infra.database import Database

quarantine_releases = Table(
    "quarantine_releases",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("row_id", String, nullable=False, unique=True),
    Column("release_id", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("corrected", String, nullable=False),
    Column("by", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Moment, nullable=False),
)


@dataclass(frozen=True)
class AuditLine:
    """One release, as it is kept.

    Attributes:
        release_id: Digest of the rows and their corrections.
        outcome: What became of the rows, such as ``"stored"``.
        rows: How many rows.
        corrected: Names of the columns that were corrected, joined by commas; their values are not kept.
        by: Who released them.
        why: The reason that was given.
        at: When.
    """

    release_id: str
    outcome: str
    rows: int
    corrected: str
    by: str
    why: str
    at: datetime


class ReleaseStore:
    """The marks of released rows, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, outcomes: Mapping[str, str], *, release_id: str, corrected: str, by: str, why: str, at: datetime
    ) -> int:
        """Mark rows as released; a row that is marked already keeps its first mark.

        Args:
            outcomes: What became of each row, by the row's id.
            release_id: Digest of the rows and their corrections.
            corrected: Names of the corrected columns.
            by: Who released them.
            why: The reason.
            at: When.

        Returns:
            How many rows were marked now.
        """
        rows = [
            {"row_id": row_id, "release_id": release_id, "outcome": outcome, "corrected": corrected}
            | {"by": by, "why": why, "at": at}
            for row_id, outcome in outcomes.items()
        ]
        with self._database.begin(lock="releases") as connection:
            return self._database.insert_new(connection, quarantine_releases, rows) if rows else 0

    def released(self) -> dict[str, str]:
        """Return what became of every released row, by the row's id."""
        with self._database.read() as connection:
            found = connection.execute(select(quarantine_releases.c.row_id, quarantine_releases.c.outcome))
            return {row.row_id: row.outcome for row in found}

    def keep_only(self, row_ids: Collection[str]) -> int:
        """Drop the marks of rows that are in the quarantine no more, since an erasure took them; return how many."""
        with self._database.begin(lock="releases") as connection:
            marked = connection.execute(select(quarantine_releases.c.row_id)).scalars()
            gone = sorted(set(marked).difference(row_ids))
            for row_id in gone:
                connection.execute(delete(quarantine_releases).where(quarantine_releases.c.row_id == row_id))
        return len(gone)

    def audit(self) -> list[AuditLine]:
        """Return every release, the newest first."""
        columns = [quarantine_releases.c[name] for name in ("release_id", "outcome", "corrected", "by", "why", "at")]
        query = select(*columns, func.count().label("rows")).group_by(*columns)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(quarantine_releases.c.at.desc(), quarantine_releases.c.outcome))
            return [AuditLine(**row._mapping) for row in found]
