"""Tables of events for the drift tests: small, seeded, in the contract's schema."""

import numpy as np
import pyarrow as pa

from recmodels.data import schema

MICROSECONDS_A_DAY = 86_400_000_000


def events(
    *, days: int, rows: int = 150, users: int = 40, items: int = 60, seed: int = 0, start_day: int = 20_000
) -> pa.Table:
    """Return `rows` events a day on two surfaces with watch time and clicks."""
    rng = np.random.default_rng(seed)
    size = days * rows
    day = np.repeat(np.arange(days), rows)
    stamp = (start_day + day) * MICROSECONDS_A_DAY + rng.integers(MICROSECONDS_A_DAY, size=size)
    weights = 1 / np.arange(5, items + 5)
    return interactions(
        event_id=[f"e{n}" for n in range(size)],
        user_id=[f"u{n}" for n in rng.integers(users, size=size)],
        item_id=[f"i{n}" for n in rng.choice(items, size=size, p=weights / weights.sum())],
        timestamp=stamp.tolist(),
        surface=["video" if x < 0.7 else "live" for x in rng.random(size)],
        watch_seconds=np.exp(2 + rng.normal(size=size)).tolist(),
        clicked=(rng.random(size) < 0.3).tolist(),
    )


def interactions(**columns: list[object]) -> pa.Table:
    """Return a table in the schema `INTERACTIONS` from lists; missing columns are null, `origin` is an event."""
    size = len(columns["user_id"])
    columns.setdefault("event_id", [f"e{n}" for n in range(size)])
    columns.setdefault("surface", ["video"] * size)
    columns.setdefault("origin", ["event"] * size)
    arrays = [
        pa.array(columns[f.name], pa.int64()).cast(f.type)
        if f.name == schema.TIMESTAMP
        else pa.array(columns[f.name], f.type)
        if f.name in columns
        else pa.nulls(size, f.type)
        for f in schema.INTERACTIONS
    ]
    return pa.table(arrays, schema=schema.INTERACTIONS)


def item_table(size: int = 60) -> pa.Table:
    """Return items of six creators and three categories."""
    columns: dict[str, list[object]] = {
        "item_id": [f"i{n}" for n in range(size)],
        "creator_id": [f"c{n % 6}" for n in range(size)],
        "category": [f"k{n % 3}|other" for n in range(size)],
        "safety": ["ok"] * size,
    }
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(size, f.type) for f in schema.ITEMS]
    return pa.table(arrays, schema=schema.ITEMS)
