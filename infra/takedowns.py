"""Items that may not be shown, whatever a model says: blocked and lifted by people, polled by gateways."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, Integer, String, Table, insert, select, update

from infra.columns import Moment, metadata
from infra.database import Database

takedowns = Table(
    "takedowns",
    metadata,
    Column("item_id", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Moment, nullable=False),
)

takedown_versions = Table(
    "takedown_versions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)


@dataclass(frozen=True)
class Takedown:
    """One item that may not be shown, and why."""

    item_id: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True)
class BlockedItems:
    """The blocked items at one version of the list."""

    version: int
    item_ids: frozenset[str]


class TakedownStore:
    """The list of blocked items, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """Return a number that grows with every change of the list; 0 before the first one."""
        with self._database.read() as connection:
            return connection.execute(select(takedown_versions.c.version)).scalar() or 0

    def blocked(self) -> BlockedItems:
        """Return the blocked items with the version of the list that they belong to."""
        with self._database.read() as connection:
            version = connection.execute(select(takedown_versions.c.version)).scalar() or 0
            return BlockedItems(version, frozenset(connection.execute(select(takedowns.c.item_id)).scalars()))

    def takedowns(self) -> list[Takedown]:
        """Return every takedown that holds, the newest first."""
        query = select(takedowns).order_by(takedowns.c.at.desc(), takedowns.c.item_id)
        with self._database.read() as connection:
            return [Takedown(row.item_id, row.reason, row.by, row.at) for row in connection.execute(query)]

    def block(self, item_ids: Sequence[str], *, reason: str, by: str, now: datetime) -> int:
        """Block items; one that is blocked already keeps its first reason.

        Returns:
            The new version of the list.
        """
        rows = [{"item_id": item, "reason": reason, "by": by, "at": now} for item in dict.fromkeys(item_ids)]
        with self._database.begin(lock="takedowns") as connection:
            self._database.insert_new(connection, takedowns, rows)
            return _next_version(connection)

    def lift(self, item_ids: Sequence[str]) -> int:
        """Allow items again; one that is not blocked is passed over.

        Returns:
            The new version of the list.
        """
        with self._database.begin(lock="takedowns") as connection:
            for item_id in dict.fromkeys(item_ids):
                connection.execute(takedowns.delete().where(takedowns.c.item_id == item_id))
            return _next_version(connection)


def _next_version(connection: Connection) -> int:
    statement = update(takedown_versions).values(version=takedown_versions.c.version + 1)
    if connection.execute(statement).rowcount == 0:
        connection.execute(insert(takedown_versions).values(id=1, version=1))
    version: int = connection.execute(select(takedown_versions.c.version)).scalar_one()
    return version
