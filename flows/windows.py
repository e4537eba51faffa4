"""Rows -> the days of the lake that they touch: late rows join their days, a backfill replaces its own, others stay.

A row is known by its key (an interaction's event id). Rows that come again replace what they were, wherever they lay;
every other row stays, whichever file, day or gateway it came from. Only days whose rows change are written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.lake import Lake
from recmodels.data.interactions import fingerprint
from recmodels.data.schema import EVENT_ID, ITEM_ID, ORIGIN, POSITION, REQUEST_ID, TABLES, TIMESTAMP
from recmodels.errors import StoreError

_KEYS: Final = {"interactions": (EVENT_ID,), "outcomes": (EVENT_ID,), "impressions": (REQUEST_ID, POSITION)}
_DAY: Final = timedelta(days=1)
_DAY_MICROSECONDS: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)
_ROWS_AT_ONCE: Final = 2_000_000
_ATTEMPTS: Final = 8


@dataclass(frozen=True)
class Rebuilt:
    """What bringing rows into the lake changed.

    Attributes:
        days: Days that were written, in order; empty when everything was there already.
        rows: Rows that were brought.
        dropped: Rows of the replaced days that are there no more, beside those that came again.
    """

    days: tuple[date, ...]
    rows: int
    dropped: int


@dataclass(frozen=True, eq=False)
class _Brought:
    """Rows on their way into a table."""

    table_name: str
    rows: pa.Table
    replaces: bool

    @cached_property
    def days(self) -> tuple[date, ...]:
        return days_of(self.rows)

    @cached_property
    def keys(self) -> pa.Array:
        return keys_of(self.rows, self.table_name)


@dataclass(frozen=True)
class _Run:
    """Days next to each other, or with nothing in the lake between them."""

    days: tuple[date, ...]

    @property
    def start(self) -> datetime:
        return _midnight(self.days[0])

    @property
    def end(self) -> datetime:
        return _midnight(self.days[-1]) + _DAY


def rebuild(lake: Lake, table_name: str, rows: pa.Table, *, replaces: bool = False) -> Rebuilt:
    """Bring rows into a table with windows; doing it again changes nothing.

    Args:
        lake: The lake.
        table_name: ``"interactions"``, ``"outcomes"`` or ``"impressions"``.
        rows: Rows in the table's schema, each key once.
        replaces: The rows are all there is of the days from the first to the last of them: what else these days hold
            goes, except what the gateway collected and what is of an origin that these rows do not have.

    Raises:
        StoreError: Other writers came first every time, or a table is damaged.
        DataError: The rows are not in the schema.
    """
    if not rows.num_rows:
        return Rebuilt((), 0, 0)
    brought = _Brought(table_name, rows, replaces)
    own = brought.days
    if lake.version(table_name) is None:
        lake.write_window(table_name, rows, start=_midnight(own[0]), end=_midnight(own[-1]) + _DAY)
        return Rebuilt(own, rows.num_rows, 0)
    held = lake.daily_counts(table_name)
    replaced = {day for day in held if replaces and own[0] <= day <= own[-1]}
    runs = _runs(sorted({*own, *replaced, *_elsewhere(lake, table_name, brought, held)}), held)
    written: list[date] = []
    dropped = 0
    # Runs with new rows come first: dying in between must not lose a row that moves to another day.
    for run in sorted(runs, key=lambda run: not set(own).intersection(run.days)):
        new = rows.filter(_between(rows, run.start, run.end))
        lost = _rebuild_run(lake, table_name, run, brought=brought, new=new)
        if lost is not None:
            written += run.days
            dropped += lost
    return Rebuilt(tuple(sorted(written)), rows.num_rows, dropped)


def take_away(lake: Lake, table_name: str, rows: pa.Table) -> tuple[date, ...]:
    """Take the rows with the keys of `rows` off the days of `rows`; every other row stays.

    Returns:
        The days that were written.

    Raises:
        StoreError: Other writers came first every time, or a table is damaged.
    """
    brought = _Brought(table_name, rows, replaces=False)
    runs = _runs(brought.days, lake.daily_counts(table_name)) if rows.num_rows else []
    nothing = rows.slice(0, 0)
    written = [
        run.days for run in runs if _rebuild_run(lake, table_name, run, brought=brought, new=nothing) is not None
    ]
    return tuple(sorted(day for days in written for day in days))


def rows_with(lake: Lake, table_name: str, *, column: str, values: pa.Array) -> pa.Table:
    """Return the rows of the lake that have one of `values` in a column, a stretch of days at a time."""
    held = lake.daily_counts(table_name)
    found = [TABLES[table_name].empty_table()]
    for start, end in _spans(sorted(held), held):
        part = lake.read(table_name, start=_midnight(start), end=_midnight(end) + _DAY)
        found.append(part.filter(pc.is_in(part[column], value_set=values)))
    return pa.concat_tables(found, promote_options="default")


def kept_counts(lake: Lake, rows: pa.Table, *, replaces: bool) -> dict[date, int]:
    """Return how many interactions of the rows' days would stay beside them, by day that has any."""
    if lake.version("interactions") is None or not rows.num_rows:
        return {}
    brought = _Brought("interactions", rows, replaces)
    start, end = _midnight(brought.days[0]), _midnight(brought.days[-1]) + _DAY
    held = lake.read("interactions", start=start, end=end, columns=[EVENT_ID, TIMESTAMP, ORIGIN])
    numbers, counts = np.unique(_day_numbers(held.filter(_stays(lake, held, brought=brought))), return_counts=True)
    return {_EPOCH + timedelta(days=int(n)): int(c) for n, c in zip(numbers, counts, strict=True)}


def held_with_keys(lake: Lake, table_name: str, rows: pa.Table) -> pa.Table:
    """Return the rows of the lake that have the keys of `rows`, on whatever day."""
    held, brought = lake.daily_counts(table_name), _Brought(table_name, rows, replaces=False)
    found = []
    for start, end in _spans(sorted(held), held):
        part = lake.read(table_name, start=_midnight(start), end=_midnight(end) + _DAY)
        found.append(part.filter(_has_key(part, brought)))
    return pa.concat_tables(found) if found else rows.slice(0, 0)


def key_of(table_name: str) -> tuple[str, ...]:
    """Return the columns that name a row of a table with windows."""
    return _KEYS[table_name]


def keys_of(rows: pa.Table, table_name: str) -> pa.Array:
    """Return the key of each row as one text, in the order of the rows."""
    parts = [rows[name].cast(pa.string()) for name in _KEYS[table_name]]
    joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "\n")
    return joined.combine_chunks()


def days_of(rows: pa.Table) -> tuple[date, ...]:
    """Return the UTC days on which the rows lie, in order."""
    return tuple(_EPOCH + timedelta(days=int(number)) for number in np.unique(_day_numbers(rows)))


def _rebuild_run(lake: Lake, table_name: str, run: _Run, *, brought: _Brought, new: pa.Table) -> int | None:
    """Write one run of days with `new` among them; return how many rows it lost, or None where nothing changed.

    Another writer may commit between the reading and the writing. The version that it made can still be read, so the
    rows are joined again with what it had written.
    """
    base = newest = lake.version(table_name)
    for _ in range(_ATTEMPTS):
        assert newest is not None
        held = lake.read(table_name, start=run.start, end=run.end, version=base)
        stays = _stays(lake, held, brought=brought)
        merged = pa.concat_tables([held.filter(stays), new], promote_options="default")
        if base == newest and _is_same(held.filter(pc.invert(stays)), new, table_name):
            return None
        if base != newest and _is_same(
            lake.read(table_name, start=run.start, end=run.end, version=newest), merged, table_name
        ):
            return 0
        version = lake.write_window(table_name, merged, start=run.start, end=run.end)
        if version == newest + 1:
            return int(pc.sum(pc.invert(pc.or_(stays, _has_key(held, brought)))).as_py() or 0)
        base, newest = version - 1, version
    raise StoreError(
        f"{table_name} from {run.start.isoformat()} to {run.end.isoformat()} could not be rebuilt: another writer came"
        f" in between {_ATTEMPTS} times. Let one flow write a window at a time, then ingest again."
    )


def _is_same(held: pa.Table, rows: pa.Table, table_name: str) -> bool:
    """Return whether two tables have the same rows; the first is in the order of the lake."""
    if held.num_rows != rows.num_rows:
        return False
    ordered = rows.select(held.column_names).sort_by([(name, "ascending") for name in (TIMESTAMP, *_KEYS[table_name])])
    # NaN is no equal of itself, and a fingerprint costs ten times as much
    return bool(ordered.cast(held.schema).equals(held)) or fingerprint(held) == fingerprint(rows)


def _stays(lake: Lake, held: pa.Table, *, brought: _Brought) -> pa.ChunkedArray:
    """Return which rows that the lake holds stay beside those that are brought."""
    stays = pc.invert(_has_key(held, brought))
    if not brought.replaces or not held.num_rows:
        return stays
    start, end = _midnight(brought.days[0]), _midnight(brought.days[-1]) + _DAY
    foreign = pc.invert(pc.is_in(held[ORIGIN], value_set=pc.unique(brought.rows[ORIGIN])))
    is_kept = pc.or_(foreign, pc.is_in(held[EVENT_ID], value_set=_collected_ids(lake, start=start, end=end)))
    return pc.and_(stays, pc.or_(is_kept, pc.invert(_between(held, start, end))))


def _collected_ids(lake: Lake, *, start: datetime, end: datetime) -> pa.Array:
    """Return the event ids that live impressions have as interactions (see `recmodels.data.feedback`)."""
    if lake.version("impressions") is None:
        return pa.array([], pa.string())
    shown = lake.read("impressions", start=start, end=end, columns=[REQUEST_ID, ITEM_ID])
    return pc.binary_join_element_wise(shown[REQUEST_ID], shown[ITEM_ID], ":").combine_chunks()


def _elsewhere(lake: Lake, table_name: str, brought: _Brought, held: Mapping[date, int]) -> set[date]:
    """Return the further days on which the lake has rows with the same keys: there they are taken away."""
    found: set[date] = set()
    columns = [TIMESTAMP, *_KEYS[table_name]]
    for start, end in _spans([day for day in sorted(held) if day not in brought.days], held):
        rows = lake.read(table_name, start=_midnight(start), end=_midnight(end) + _DAY, columns=columns)
        found.update(days_of(rows.filter(_has_key(rows, brought))))
    return found


def _spans(days: Sequence[date], held: Mapping[date, int]) -> Iterator[tuple[date, date]]:
    """Yield first and last day of stretches with a bounded number of rows."""
    start, count = 0, 0
    for place, day in enumerate(days):
        count += held[day]
        if count >= _ROWS_AT_ONCE or place == len(days) - 1:
            yield days[start], day
            start, count = place + 1, 0


def _runs(touched: Sequence[date], held: Mapping[date, int]) -> list[_Run]:
    """Join days between which the lake holds nothing, so that they are written in one commit."""
    untouched = np.array(sorted((day - _EPOCH).days for day in set(held).difference(touched)), np.int64)
    groups: dict[int, list[date]] = {}
    for day in touched:
        groups.setdefault(int(np.searchsorted(untouched, (day - _EPOCH).days)), []).append(day)
    return [_Run(tuple(days)) for days in groups.values()]


def _has_key(held: pa.Table, brought: _Brought) -> pa.ChunkedArray:
    return pc.is_in(keys_of(held, brought.table_name), value_set=brought.keys)


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.ChunkedArray:
    moments = rows[TIMESTAMP]
    first, last = (pa.scalar(moment, moments.type) for moment in (start, end))
    return pc.and_(pc.greater_equal(moments, first), pc.less(moments, last))


def _day_numbers(rows: pa.Table) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = rows[TIMESTAMP].cast(pa.int64()).to_numpy() // _DAY_MICROSECONDS
    return numbers


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
