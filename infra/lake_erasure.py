"""Erasure of a user from the lake: which rows are about them, and how these and every older version go.

Partitions are rewritten rather than rows deleted by a predicate, because a predicate with the user's id would stay in
the table's log.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable

from infra.lake_layout import DAY, TIME_COLUMNS, conform, order_of, with_partition
from infra.lake_tables import ERASURES, DeltaTables
from recmodels.data import schema

_ERASURE_SCHEMA: Final = pa.schema(
    [("table", pa.string()), ("first_version", pa.int64()), ("erased_at", schema.TIMESTAMP_TYPE)]
)
_IN_QUARANTINE: Final = (
    "CASE WHEN json_valid(row) THEN"
    f" list_contains($1::VARCHAR[], json_extract_string(row, '$.{schema.USER_ID}'))"
    f" OR list_contains($1::VARCHAR[], json_extract_string(row, '$.{schema.USER_KEY}'))"
    " ELSE len(list_filter($1::VARCHAR[], lambda id: contains(row, id))) > 0 END"
)


@dataclass(frozen=True)
class Target:
    """The rows of one table that are about a user: a condition on them, and the value that it names ``$1``."""

    table_name: str
    condition: str
    value: str | list[str]


@dataclass(frozen=True)
class Erasure:
    """What erasing a user removed.

    Attributes:
        rows: Rows removed, by table; tables without any are left out.
        versions: First version of each table that can still be read.
    """

    rows: Mapping[str, int]
    versions: Mapping[str, int]


def targets_of(tables: DeltaTables, *, user_id: str, user_key: str) -> list[Target]:
    """Return what to erase where; outcomes come before the impressions, which alone lead to them."""
    targets = [
        Target("outcomes", f'"{schema.REQUEST_ID}" IN (SELECT unnest($1::VARCHAR[]))', _request_ids(tables, user_key)),
        Target("impressions", f'"{schema.USER_KEY}" = $1', user_key),
        Target("quarantine", _IN_QUARANTINE, [value for value in (user_id, user_key) if value]),
        Target("interactions", f'"{schema.USER_ID}" = $1', user_id),
        Target("users", f'"{schema.USER_ID}" = $1', user_id),
    ]
    return [target for target in targets if tables.find(target.table_name) is not None]


def count(tables: DeltaTables, target: Target) -> int:
    """Return how many rows of the newest version are about the user."""
    files = tables.files(tables.open(target.table_name), target.table_name)
    if not files:
        return 0
    query = f"SELECT count(*) AS rows FROM files WHERE {target.condition}"  # noqa: S608 - our own conditions
    return int(tables.query(target.table_name, query, files=files, parameters=[target.value])["rows"][0].as_py())


def first_moment(tables: DeltaTables, user_id: str) -> datetime | None:
    """Return the time of a user's first interaction; None without any."""
    table = tables.find("interactions")
    files = tables.files(table, "interactions") if table is not None else []
    if not files:
        return None
    query = f'SELECT min("{schema.TIMESTAMP}") AS first FROM files WHERE "{schema.USER_ID}" = $1'  # noqa: S608
    found: datetime | None = tables.query("interactions", query, files=files, parameters=[user_id])["first"][0].as_py()
    return found


def erase(tables: DeltaTables, target: Target) -> int:
    """Rewrite the partitions that hold rows about the user without these, in one commit; return how many there were."""
    name = target.table_name
    table = tables.open(name)
    files = tables.files(table, name)
    if not files:
        return 0
    partition = next(iter(table.metadata().partition_columns), "")
    place = _place(name, partition)
    query = f"SELECT {place} AS place, count(*) AS rows FROM files WHERE {target.condition} GROUP BY place"  # noqa: S608
    found = tables.query(name, query, files=files, parameters=[target.value])
    if found.num_rows == 0:
        return 0
    places = found["place"].to_pylist()
    query = (
        f"SELECT * FROM files WHERE ({target.condition}) IS NOT TRUE AND {place} IN (SELECT unnest($2::VARCHAR[]))"  # noqa: S608
        f" ORDER BY {_order(name)}"
    )
    kept = conform(tables.query(name, query, files=files, parameters=[target.value, places]), name)
    _put_back(tables, name, kept, partition=partition, places=places)
    return int(sum(found["rows"].to_pylist()))


def forget_older_versions(tables: DeltaTables, table_name: str, *, now: datetime) -> int:
    """Delete every file that the newest version does not need; return the first version that can still be read.

    In an object store, what no version ever named and is younger than `LakePlace.grace` stays: another machine may be
    about to commit it. The next erasure or `everfeed gc` deletes it where its writer had crashed.
    """
    table = tables.open(table_name)
    with tables.explained(table_name):
        if tables.place.stored(table_name, _vacuum(tables, table, is_dry=True)):
            row = {"table": [table_name], "first_version": [table.version()], "erased_at": [now]}
            tables.write(ERASURES, pa.table(row, schema=_ERASURE_SCHEMA), mode="append")
            _vacuum(tables, table, is_dry=False)
    return tables.first_readable(table_name)


def _vacuum(tables: DeltaTables, table: DeltaTable, *, is_dry: bool) -> list[str]:
    """Delete what only older versions named, and what none did; a dry run lists those again that are gone already."""
    hours = math.ceil(tables.place.grace / timedelta(hours=1))
    found = table.vacuum(hours, enforce_retention_duration=False, full=True, dry_run=is_dry)
    if hours:
        found += table.vacuum(0, enforce_retention_duration=False, full=False, dry_run=is_dry)
    return list(found)


def _request_ids(tables: DeltaTables, user_key: str) -> list[str]:
    table = tables.find("impressions") if user_key else None
    files = tables.files(table, "impressions") if table is not None else []
    if not files:
        return []
    query = f'SELECT DISTINCT "{schema.REQUEST_ID}" AS id FROM files WHERE "{schema.USER_KEY}" = $1'  # noqa: S608
    return [
        str(value) for value in tables.query("impressions", query, files=files, parameters=[user_key])["id"].to_pylist()
    ]


def _place(table_name: str, partition: str) -> str:
    """Return the SQL of a row's partition; an unpartitioned table is one place."""
    if not partition:
        return "'all'"
    return f"strftime(\"{TIME_COLUMNS[table_name]}\", '{'%Y-%m-%d' if partition == DAY else '%Y-%m'}')"


def _order(table_name: str) -> str:
    return ", ".join(f'"{column}"' for column in order_of(table_name))


def _put_back(tables: DeltaTables, table_name: str, kept: pa.Table, *, partition: str, places: list[str]) -> None:
    def write() -> None:
        if partition:
            listed = ", ".join(f"'{place}'" for place in places)
            rows = with_partition(kept, TIME_COLUMNS[table_name], partition)
            tables.overwrite(table_name, rows, partition=partition, predicate=f"{partition} IN ({listed})")
        else:
            tables.write(table_name, kept, mode="overwrite")

    tables.commit(table_name, write)
