"""What each user's own rate was over a past window: reward per item shown, from the lake's impressions and outcomes."""

from __future__ import annotations  # a class of DuckDB in an annotation outlives its module, and is reported as a leak

import glob
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa

from infra.lake import Lake
from infra.lake_tables import DUCKDB_CONFIG, explained
from recmodels.data import schema

RATE: Final = "rate"
RATES: Final = pa.schema([pa.field(schema.USER_KEY, pa.string(), nullable=False), pa.field(RATE, pa.float64())])
"""One row a user with any impression in the window."""

_QUERY: Final = """
    WITH shown AS (
        SELECT user_key, request_id, item_id FROM impressions
        WHERE timestamp >= $1 AND timestamp < $2 AND origin = $3
    ), first_outcomes AS (
        SELECT request_id, item_id, least(value, $5) AS value FROM outcomes
        WHERE kind = $4 AND timestamp < $2
        QUALIFY row_number() OVER (PARTITION BY request_id, item_id ORDER BY timestamp, event_id) = 1
    )
    SELECT user_key, sum(coalesce(value, 0.0)) / count(*) AS rate
    FROM shown LEFT JOIN first_outcomes USING (request_id, item_id)
    GROUP BY user_key ORDER BY user_key
"""


def user_rates(lake: Lake, *, start: datetime, end: datetime, kind: str, cap: float | None = None) -> pa.Table:
    """Return the reward per item shown of each user, in the schema `RATES`, sorted by user key.

    People's own impressions only: resampled visitors have no past. An item's first outcome of the kind counts, as in
    the judge's sums; an outcome after `end` does not, whenever its item was shown.

    Args:
        lake: The lake; one without impressions gives no rows, one without outcomes rates of 0.
        start: First moment of the window.
        end: First moment after it.
        kind: Outcome that is summed.
        cap: Each outcome's value is at most this; None for no cap.

    Raises:
        StoreError: A table is damaged.
    """
    limit = float("inf") if cap is None else cap
    around = explained("impressions", lake.place)
    with lake.reading(), around, duckdb.connect(":memory:", config=DUCKDB_CONFIG) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        lake.place.attach(connection)
        for name in ("impressions", "outcomes"):
            _view(connection, name, [] if lake.version(name) is None else lake.file_uris(name))
        rows = connection.sql(_QUERY, params=[start, end, schema.ORIGIN_EVENT, kind, limit])
        return rows.to_arrow_table().cast(RATES)


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: list[str]) -> None:
    if files:
        relation = connection.read_parquet(
            [glob.escape(file) for file in files], union_by_name=True, hive_partitioning=False
        )
    else:
        relation = connection.from_arrow(schema.TABLES[name].empty_table())
    relation.create_view(name)
