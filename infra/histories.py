"""What each user did last, for serving: keyed by user key, bounded in length, shared by every gateway process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    delete,
    desc,
    func,
    select,
)

from infra.columns import metadata, to_microseconds
from infra.database import Database
from infra.events import user_key
from infra.lookup import Lookup
from infra.tombstones import Tombstones
from recmodels.data import schema

histories = Table(
    "histories",
    metadata,
    Column("user_key", String, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True, autoincrement=False),
    Column("item_id", String, primary_key=True),
    Column("surface", String, nullable=False),
    Column("tie", Integer, nullable=False),
    sqlite_with_rowid=False,
)

_CHUNK_ROWS: Final = 50_000
_SLACK: Final = 1.25


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One thing a user did; the same user, time and item twice is kept once."""

    user_key: str
    item_id: str
    timestamp: datetime
    surface: str


@dataclass(frozen=True, slots=True)
class UserHistory:
    """A user's last events, oldest first.

    Attributes:
        item_ids: The items.
        timestamps: Microseconds since 1970 UTC, one an item.
    """

    item_ids: tuple[str, ...]
    timestamps: tuple[int, ...]


class HistoryStore:
    """Histories over one database.

    Args:
        database: An open database.
        max_length: Most events that are kept of one user; a quarter more may stand for a while.
    """

    def __init__(self, database: Database, *, max_length: int = 1000) -> None:
        self._database = database
        self._max_length = max_length
        self._newest = Lookup(database, _newest_events())
        self._tombstones = Tombstones(database)

    def append(self, events: Sequence[HistoryEvent]) -> int:
        """Add events, all of them in one transaction; it is durable when this returns.

        Returns:
            How many were new.
        """
        if not events:
            return 0
        with self._database.begin() as connection:
            return self.add(connection, events)

    def add(self, connection: Connection, events: Sequence[HistoryEvent]) -> int:
        """Add events within a transaction of somebody else's, and return how many were new; of erased users, none."""
        if erased := self._tombstones.among(connection, {event.user_key for event in events}):
            events = [event for event in events if event.user_key not in erased]
        rows = [
            {
                "user_key": event.user_key,
                "timestamp": to_microseconds(event.timestamp),
                "item_id": event.item_id,
                "surface": event.surface,
                "tie": tie,
            }
            for tie, event in enumerate(events)
        ]
        added = self._database.insert_new_plain(connection, histories, rows)
        self._trim(connection, {event.user_key for event in events})
        return added

    def last(self, user_key: str, *, limit: int) -> UserHistory:
        """Return the newest `limit` events of a user, oldest first; empty for an unknown user."""
        rows = self._newest.rows(key=user_key, limit=limit)
        rows.reverse()
        return UserHistory(tuple([row[0] for row in rows]), tuple([row[1] for row in rows]))

    def some_users(self, limit: int) -> list[str]:
        """Return the keys of at most `limit` users who have a history; keys are hashes, so these are any users."""
        query = select(histories.c.user_key).distinct().order_by(histories.c.user_key).limit(limit)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def num_users(self) -> int:
        """Return how many users have a history."""
        with self._database.read() as connection:
            return connection.execute(select(func.count(histories.c.user_key.distinct()))).scalar_one()

    def replace_all(self, interactions: pa.Table, *, secret: bytes) -> int:
        """Bring the store in line with `interactions`, usually a model's positives.

        Users are replaced chunk by chunk, so that the gateway can write in between. Events newer than the newest row of
        `interactions` stay: they came in live, and ingest will bring them.

        Args:
            interactions: Rows with user_id, item_id, timestamp and surface; among equal times of a user, the order of
                the rows is kept.
            secret: Key of the user keys.

        Returns:
            How many events were written.
        """
        if interactions.num_rows == 0:
            return 0
        newest = pc.max(interactions[schema.TIMESTAMP]).cast(pa.int64()).as_py()
        rows = _last_rows(interactions, limit=self._max_length)
        keys = _user_keys(rows[schema.USER_ID], secret=secret)
        written = 0
        for start, end in _user_chunks(keys):
            records = _records(rows.slice(start, end - start), keys[start:end])
            users = np.unique(keys[start:end]).tolist()
            with self._database.begin() as connection:
                if erased := self._tombstones.among(connection, users):
                    records = [record for record in records if record["user_key"] not in erased]
                _delete_until(connection, users, newest=newest)
                self._database.insert_new_plain(connection, histories, records)
            written += len(records)
        self._delete_strangers(set(keys.tolist()), newest=newest)
        return written

    def _trim(self, connection: Connection, keys: set[str]) -> None:
        bound = int(self._max_length * _SLACK)
        long = select(histories.c.user_key).where(histories.c.user_key.in_(sorted(keys)))
        long = long.group_by(histories.c.user_key).having(func.count() > bound)
        for key in connection.execute(long).scalars().all():
            own = histories.c.user_key == key
            newest = select(histories.c.timestamp).where(own).order_by(desc(histories.c.timestamp))
            oldest_kept = connection.execute(newest.offset(self._max_length - 1).limit(1)).scalar_one()
            connection.execute(delete(histories).where(own, histories.c.timestamp < oldest_kept))

    def _delete_strangers(self, keys: set[str], *, newest: int) -> None:
        """Delete what is as old as the interactions and belongs to users who are not in them."""
        with self._database.begin() as connection:
            known = set(connection.execute(select(histories.c.user_key).distinct()).scalars())
            _delete_until(connection, sorted(known - keys), newest=newest)


def _newest_events() -> Select[tuple[str, int]]:
    newest = desc(histories.c.timestamp), desc(histories.c.tie)
    query = select(histories.c.item_id, histories.c.timestamp).where(histories.c.user_key == bindparam("key"))
    return query.order_by(*newest).limit(bindparam("limit", type_=Integer))


def _last_rows(interactions: pa.Table, *, limit: int) -> pa.Table:
    """Return the newest `limit` rows of each user, sorted by user and time."""
    users = pc.dictionary_encode(interactions[schema.USER_ID].combine_chunks()).indices.to_numpy(zero_copy_only=False)
    times = interactions[schema.TIMESTAMP].cast(pa.int64()).to_numpy()
    order = np.lexsort((times, users))  # stable: rows at the same time keep their order
    counts = np.bincount(users)
    ends = np.cumsum(counts)[users[order]]
    return interactions.take(order[ends - np.arange(len(order)) <= limit])


def _user_keys(user_ids: pa.ChunkedArray, *, secret: bytes) -> NDArray[np.str_]:
    encoded = pc.dictionary_encode(user_ids.combine_chunks())
    keys = np.asarray([user_key(user_id, secret) for user_id in encoded.dictionary.to_pylist()])
    spread: NDArray[np.str_] = keys[encoded.indices.to_numpy(zero_copy_only=False)]
    return spread


def _user_chunks(keys: NDArray[np.str_]) -> Iterator[tuple[int, int]]:
    """Yield row ranges of about `_CHUNK_ROWS` rows that hold whole users."""
    ends = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, len(keys))
    start = 0
    while start < len(keys):
        end = int(ends[np.searchsorted(ends, min(start + _CHUNK_ROWS, len(keys)))])
        yield start, end
        start = end


def _records(rows: pa.Table, keys: NDArray[np.str_]) -> list[dict[str, Any]]:
    names = ("user_key", "timestamp", "item_id", "surface", "tie")
    columns = (
        keys.tolist(),
        rows[schema.TIMESTAMP].cast(pa.int64()).to_pylist(),
        rows[schema.ITEM_ID].to_pylist(),
        rows[schema.SURFACE].to_pylist(),
        range(rows.num_rows),
    )
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _delete_until(connection: Connection, keys: Sequence[str], *, newest: int) -> None:
    if keys:
        own = and_(histories.c.user_key == bindparam("key"), histories.c.timestamp <= newest)
        connection.execute(delete(histories).where(own), [{"key": key} for key in keys])
