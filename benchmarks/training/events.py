"""Synthetic interactions of any number in Parquet files, made by DuckDB from a hash of the row's number."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

EVENTS, ITEMS, USERS = 20_000_000, 1_000_000, 250_000
FILES = 10
_DAYS = 180
_TIED = 32
"""One event in so many has the user and the second of the one before it."""


@dataclass(frozen=True)
class Size:
    """How many of each."""

    events: int = EVENTS
    items: int = ITEMS
    users: int = USERS


def write_events(folder: Path, size: Size, *, seed: int) -> list[str]:
    """Write interactions in the order of time; items follow Zipf's law with exponent 1, users are less uneven.

    Args:
        folder: Exists.
        size: Of the whole.
        seed: The same seed and size give the same rows.
    """
    paths = [folder / f"part-{number:02d}.parquet" for number in range(FILES)]
    edges = [size.events * number // FILES for number in range(FILES + 1)]
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for path, first, last in zip(paths, edges[:-1], edges[1:], strict=True):
            connection.execute(f"COPY ({_rows(first, last, size, seed)}) TO '{path}' (COMPRESSION zstd)")
    return [str(path) for path in paths]


def _rows(first: int, last: int, size: Size, seed: int) -> str:
    seconds = f"1700000000 + moment * {_DAYS * 86400} // {size.events}"
    return f"""
        SELECT md5('{seed}-' || n) AS event_id,
               'user-' || lpad((floor({size.users} * pow({_chance("moment", seed, 1)}, 1.5)))::BIGINT::VARCHAR, 8, '0')
                   AS user_id,
               'item-' || lpad(floor(pow({size.items}, {_chance("n", seed, 2)}))::BIGINT::VARCHAR, 8, '0') AS item_id,
               to_timestamp({seconds}) AS timestamp
        FROM (SELECT range AS n, range - (range % {_TIED} = {_TIED - 1})::BIGINT AS moment
              FROM range({first}, {last}))"""


def _chance(number: str, seed: int, stream: int) -> str:
    """SQL for a number from 0 to 1, the same for the same row, seed and stream."""
    return f"(hash({number}, {seed}, {stream}) // 2048 / 9007199254740992.0)"
