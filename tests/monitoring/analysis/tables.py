"""Small tables of the contract as Parquet files, and what analyses say of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monitoring.analysis import ANALYSES
from monitoring.analysis.result import Analysis
from monitoring.analysis.scope import Config, Scope, opened
from recmodels.data import schema

START = datetime(2026, 3, 1, tzinfo=UTC)
FEW = Config(least_users=2)
"""Tells of two people or more, so that tables worked out by hand say something."""


def at(*, days: float = 0.0, minutes: float = 0.0, seconds: float = 0.0) -> datetime:
    """Return a moment after the first one."""
    return START + timedelta(days=days, minutes=minutes, seconds=seconds)


def interactions(columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """Return interactions with these columns, and what is required made up."""
    number = len(columns[schema.USER_ID])
    made = {
        schema.EVENT_ID: [f"e{place}" for place in range(number)],
        schema.SURFACE: ["video"] * number,
        schema.ORIGIN: [schema.ORIGIN_EVENT] * number,
        **columns,
    }
    return _filled(made, schema.INTERACTIONS, number)


def items(columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """Return items with these columns."""
    number = len(columns[schema.ITEM_ID])
    return _filled({schema.SAFETY: ["ok"] * number, **columns}, schema.ITEMS, number)


def users(columns: Mapping[str, Sequence[str]]) -> pa.Table:
    """Return users with these attributes."""
    return pa.table({**columns, schema.SIGNED_UP_AT: pa.nulls(len(columns[schema.USER_ID]), schema.TIMESTAMP_TYPE)})


@contextmanager
def scope_of(
    folder: Path,
    events: pa.Table,
    *,
    catalogue: pa.Table | None = None,
    people: pa.Table | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    is_order_only: bool = False,
    config: Config = FEW,
) -> Iterator[Scope]:
    """Write the tables and open them."""
    files = {}
    for name, table in (("interactions", events), ("items", catalogue), ("users", people)):
        if table is not None:
            pq.write_table(table, folder / f"{name}.parquet")
            files[name] = [str(folder / f"{name}.parquet")]
    with opened(files, start=start, end=end, is_order_only=is_order_only, config=config) as scope:
        yield scope


def analysed(name: str, scope: Scope) -> Analysis:
    """Return what one analysis says."""
    found: Analysis = ANALYSES.get(name)(scope)  # type: ignore[operator]
    return found


def rows_of(analysis: Analysis, key: str) -> dict[object, dict[str, object]]:
    """Return the rows of an analysis's table by a column."""
    return {row[key]: row for row in analysis.table.to_pylist()}


def noise(seed: int, *, people: int = 300, catalogue: int = 30, bursts: int = 900) -> pa.Table:
    """Return two weeks in which nothing changes: people, some far more active, watch an item several times in a row."""
    rng = np.random.default_rng(seed)
    user = rng.choice(people, size=bursts, p=rng.dirichlet(np.full(people, 0.6)))
    item = rng.integers(0, catalogue, bursts)
    times = rng.geometric(0.25, bursts)
    moment = rng.integers(0, 14 * 86_400, bursts)
    number = np.repeat(np.arange(bursts), times)
    return interactions(
        {
            schema.USER_ID: [f"u{n}" for n in user[number]],
            schema.ITEM_ID: [f"i{n}" for n in item[number]],
            schema.TIMESTAMP: [START + timedelta(seconds=int(n)) for n in moment[number]],
        }
    )


def _filled(columns: Mapping[str, Sequence[object]], target: pa.Schema, number: int) -> pa.Table:
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(number, field.type)
        for field in target
    ]
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type) for f in target]))
