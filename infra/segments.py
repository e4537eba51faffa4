"""Items that joined after the bundles were built, or whose safety label changed since: appended, never rewritten.

Gateways poll the version. An item that a bundle knows is no newcomer to it, but its newest safety label holds for every
model: one that is ``blocked`` here is shown by none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, String, Table, Text, func, insert, select

from infra.columns import BigKey, Moment, metadata
from infra.database import Database
from recmodels.data import schema
from recmodels.errors import DataError

item_segments = Table(
    "item_segments",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("item_id", String, nullable=False),
    Column("creator_id", String),
    Column("surface", String),
    Column("category", String),
    Column("text", Text),
    Column("duration_seconds", Float),
    Column("published_at", BigInteger),
    Column("safety", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_item_segments_item", "item_id", "id"),
    Index("ix_item_segments_version", "version"),
)

MAX_ITEMS: Final = 20_000
"""Most items of a segment; the newest ones. Older newcomers are left to the next bundle."""

_BLOCKED: Final = "blocked"
_FACTS: Final = tuple(schema.ITEMS.names)
_CHUNK: Final = 500


@dataclass(frozen=True, eq=False)
class SegmentItems:
    """The newest items at one version.

    Attributes:
        version: Grows with every append; 0 before the first one.
        items: Rows in the schema `ITEMS`, one an item with its newest facts, in the order of the appends.
        blocked: Every item whose newest safety label is ``blocked``, whether or not it stands in `items`.
    """

    version: int
    items: pa.Table
    blocked: frozenset[str]


class SegmentStore:
    """The append-only segment of items, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, items: pa.Table, *, by: str, now: datetime) -> int:
        """Add items, or newer facts of items that were added before; it is durable when this returns.

        What is there already with the same facts is passed over, so that a retry changes nothing.

        Args:
            items: Rows in the schema `ITEMS`; of an item that occurs twice the last row counts.
            by: Who adds them.
            now: The moment.

        Returns:
            The version that holds them.

        Raises:
            DataError: The table has other columns, an empty id, or a safety label that is not known.
        """
        wanted = {row[schema.ITEM_ID]: row for row in _facts(items)}
        with self._database.begin(lock="segments") as connection:
            version = _version(connection)
            known = _newest(connection, list(wanted))
            fresh = [row for item_id, row in wanted.items() if known.get(item_id) != row]
            if not fresh:
                return version
            rows = [{**row, "version": version + 1, "by": by, "at": now} for row in fresh]
            connection.execute(insert(item_segments), rows)
        return version + 1

    def version(self) -> int:
        """Return the newest version; 0 before the first append."""
        with self._database.read() as connection:
            return _version(connection)

    def items(self, *, limit: int = MAX_ITEMS) -> SegmentItems:
        """Return the newest `limit` items with the version that they belong to."""
        newest = select(func.max(item_segments.c.id)).group_by(item_segments.c.item_id)
        columns = [item_segments.c[name] for name in _FACTS]
        last = item_segments.c.id.in_(newest)
        with self._database.read() as connection:
            version = _version(connection)
            query = select(*columns).where(last).order_by(item_segments.c.id.desc()).limit(limit)
            rows = connection.execute(query).all()[::-1]
            blocked = select(item_segments.c.item_id).where(last, item_segments.c.safety == _BLOCKED)
            return SegmentItems(version, _table(rows), frozenset(connection.execute(blocked).scalars()))


def _facts(items: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as they are stored: times as microseconds.

    Raises:
        DataError: As in `SegmentStore.append`.
    """
    if items.column_names != list(_FACTS):
        raise DataError(
            f"items of a segment have the columns {', '.join(items.column_names)}. Expected: {', '.join(_FACTS)}."
        )
    published = items[schema.PUBLISHED_AT].cast(schema.TIMESTAMP_TYPE).cast(pa.int64())
    place = items.column_names.index(schema.PUBLISHED_AT)
    rows: list[dict[str, Any]] = items.set_column(place, schema.PUBLISHED_AT, published).to_pylist()
    bad = next((row for row in rows if not row[schema.ITEM_ID] or row[schema.SAFETY] not in schema.SAFETY_LEVELS), None)
    if bad is not None:
        raise DataError(
            f"item {bad[schema.ITEM_ID]!r} has the safety label {bad[schema.SAFETY]!r}. Give every item an id and one"
            f" of the labels {', '.join(schema.SAFETY_LEVELS)}."
        )
    return rows


def _version(connection: Connection) -> int:
    return connection.execute(select(func.max(item_segments.c.version))).scalar() or 0


def _newest(connection: Connection, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the newest facts of those items that are there."""
    columns = [item_segments.c[name] for name in _FACTS]
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(item_ids), _CHUNK):
        own = item_segments.c.item_id.in_(item_ids[start : start + _CHUNK])
        rows = connection.execute(select(*columns).where(own).order_by(item_segments.c.id))
        found.update({row.item_id: dict(row._mapping) for row in rows})
    return found


def _table(rows: Sequence[Any]) -> pa.Table:
    """Return rows of the database in the schema `ITEMS`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(_FACTS)
    arrays = []
    for field, values in zip(schema.ITEMS, columns, strict=True):
        stored = pa.int64() if field.name == schema.PUBLISHED_AT else field.type
        arrays.append(pa.array(values, stored).cast(field.type))
    return pa.table(arrays, schema=schema.ITEMS)
