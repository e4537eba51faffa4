"""Small valid tables of the data contract, made by hand, with single cells to replace."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from monitoring.suite import ValidationContext
from recmodels.data.schema import TABLES

NOW = datetime(2026, 1, 10, tzinfo=UTC)
ROWS = 40


def _row(name: str, i: int) -> dict[str, Any]:
    at = NOW - timedelta(minutes=i + 1)
    rows: dict[str, dict[str, Any]] = {
        "interactions": {
            "event_id": f"e{i}",
            "user_id": f"u{i}",
            "item_id": f"i{i}",
            "timestamp": at,
            "surface": "video",
            "watch_seconds": 5.0,
            "duration_seconds": 10.0,
            "rating": 4.0,
            "clicked": True,
            "origin": "event",
        },
        "items": {"item_id": f"i{i}", "duration_seconds": 10.0, "safety": "ok"},
        "users": {"user_id": f"u{i}", "signed_up_at": at},
        "impressions": {
            "request_id": f"r{i // 4}",
            "timestamp": at,
            "user_key": "k",
            "surface": "video",
            "model_version": "1",
            "arm": "rest",
            "position": i % 4,
            "item_id": f"i{i}",
            "score": 0.5,
            "propensity": 1.0,
            "is_fallback": False,
            "latency_seconds": 0.01,
            "origin": "event",
        },
        "outcomes": {
            "event_id": f"o{i}",
            "request_id": f"r{i // 4}",
            "item_id": f"i{i}",
            "kind": "clicked",
            "value": 1.0,
            "timestamp": at,
        },
    }
    return rows[name]


def sample(name: str, changes: Mapping[int, Mapping[str, Any]] | None = None, *, rows: int = ROWS) -> pa.Table:
    """Return valid rows, with the cells of `changes` (row number -> column -> value) replaced."""
    changed = changes or {}
    # nullable everywhere: broken rows hold nulls where the contract has none
    schema = pa.schema([pa.field(f.name, f.type) for f in TABLES[name]])
    return pa.Table.from_pylist([{**_row(name, i), **changed.get(i, {})} for i in range(rows)], schema=schema)


def with_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the table with one column replaced."""
    return table.set_column(table.column_names.index(name), name, values)


def context(**fields: Any) -> ValidationContext:
    """Return a context whose moment is `NOW`."""
    return ValidationContext(as_of=NOW, **fields)
