"""What the monitor reads: events and impressions up to now, bounded in rows whatever the traffic."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.wiring import Platform
from infra.lake import Lake
from monitoring.drift.served import Anchors, Served, shown_by_champions
from recmodels.bundle import load_bundle
from recmodels.data import schema
from recmodels.data.schema import TABLES, TIMESTAMP
from recmodels.errors import BundleError, StoreError
from recmodels.scorers import EncoderScorer

_ROWS_AT_ONCE = 1_000_000
_NOT_READ = frozenset({schema.EVENT_ID, schema.ORIGIN})
"""Columns of events that no figure is made of; neither is ever null."""
_NOT_SHOWN = frozenset({schema.QUERY, schema.ROLLOUT_ID, schema.STEP, schema.SEGMENT_VERSION})
"""Columns of impressions that no figure is made of and that may be missing."""


@dataclass(frozen=True)
class Window:
    """Events before the newest days, and of the newest days.

    Attributes:
        reference: All days before, in the schema `INTERACTIONS`.
        current: The newest days.
        share: Share of the users whose events these are.
    """

    reference: pa.Table
    current: pa.Table
    share: float

    @property
    def as_of(self) -> datetime:
        """Time of the newest event."""
        newest: datetime = pc.max(self.current[TIMESTAMP]).as_py()
        return newest


def read_window(
    home: Platform, *, extra: Path | None, days: int, history_days: int, rows: int, rows_at_once: int = _ROWS_AT_ONCE
) -> Window:
    """Read the newest `days` days and the `history_days` before them, of as many users as make about `rows` rows.

    Args:
        home: The stores.
        extra: Replayed interactions (Parquet) that follow the lake's; all of them are read.
        days: Length of the current part.
        history_days: Length of the reference, at most.
        rows: Most rows, about.
        rows_at_once: About as many are sorted at a time.

    Raises:
        StoreError: Nothing was ingested yet.
    """
    if home.lake.version("interactions") is None:
        raise StoreError(f"the lake at {home.settings.lake} holds no interactions. Ingest with `everfeed run`.")
    counts = home.lake.daily_counts("interactions")
    if not counts:
        raise StoreError(f"the lake at {home.settings.lake} holds no interactions. Ingest with `everfeed run`.")
    first = max(counts) - timedelta(days=days + history_days)
    share = _share(counts, first, rows)
    table = _read_in_parts(
        home.lake, "interactions", counts, first, share=share, left_out=_NOT_READ, rows_at_once=rows_at_once
    )
    if extra is not None:
        replayed = pq.read_table(extra)
        replayed = replayed.select([name for name in replayed.column_names if name not in _NOT_READ])
        table = pa.concat_tables([table, replayed], promote_options="default").sort_by(TIMESTAMP)
    start = pc.max(table[TIMESTAMP]).as_py() - timedelta(days=days)
    old = int(pc.sum(pc.less(table[TIMESTAMP], pa.scalar(start))).as_py())
    return Window(table.slice(0, old), table.slice(old), share)


def read_served(home: Platform, *, now: datetime, history_days: int, rows: int) -> Served:
    """Read what champions served in the last `history_days` days, from the lake and what waits to move there."""
    since = now - timedelta(days=history_days)
    share, shown = 1.0, schema.IMPRESSIONS.empty_table()
    if home.lake.version("impressions") is not None:
        counts = home.lake.daily_counts("impressions")
        share = _share(counts, since.date(), rows)
        shown = _read_in_parts(
            home.lake,
            "impressions",
            counts,
            since.date(),
            share=share,
            left_out=_NOT_SHOWN,
            rows_at_once=_ROWS_AT_ONCE,
            keep=shown_by_champions,
        )
    waiting = home.events.waiting(origin=schema.ORIGIN_EVENT, share=share)
    return Served(
        impressions=_in_order(shown, shown_by_champions(waiting.impressions)),
        outcomes=_with_lake(home.lake, "outcomes", waiting.outcomes, since=since),
        as_of=now,
        champion_days=[one.since.date() for one in home.rollouts.history()[1:]],
        anchors=_anchors(home),
    )


def rows_since(lake: Lake, moment: datetime, *, extra: Path | None) -> int:
    """Return how many interactions there are from the day of `moment` on, those in the file `extra` included."""
    more = 0 if extra is None else pq.read_metadata(extra).num_rows
    return more + sum(count for day, count in lake.daily_counts("interactions").items() if day >= moment.date())


def _read_in_parts(
    lake: Lake,
    table_name: str,
    counts: dict[date, int],
    first: date,
    *,
    share: float,
    left_out: Collection[str],
    rows_at_once: int,
    keep: Callable[[pa.Table], pa.Table] = lambda part: part,
) -> pa.Table:
    """Read the days from `first` on, sorted by time, a part at a time: sorting takes several times what is sorted.

    Args:
        lake: The tables.
        table_name: Which.
        counts: Its rows by day.
        first: First day.
        share: Share of the users.
        left_out: Columns that are not read.
        rows_at_once: About as many are sorted at a time, and a day's at the least.
        keep: Chooses among the rows of a part.
    """
    columns = [field.name for field in TABLES[table_name] if field.name not in left_out]
    starts, waiting = [first], 0.0
    for day, count in sorted(counts.items()):
        if day < first:
            continue
        if waiting and waiting + share * count > rows_at_once:
            starts.append(day)
            waiting = 0.0
        waiting += share * count
    ends = [*(_midnight(day) for day in starts[1:]), None]
    with lake.reading():
        version = lake.version(table_name)
        parts = [
            keep(lake.read(table_name, start=_midnight(start), end=end, version=version, columns=columns, share=share))
            for start, end in zip(starts, ends, strict=True)
        ]
    return pa.concat_tables(parts)


def _share(counts: dict[date, int], first: date, rows: int) -> float:
    total = sum(count for day, count in counts.items() if day >= first)
    return min(1.0, rows / max(total, 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), tzinfo=UTC)


def _in_order(moved: pa.Table, waiting: pa.Table) -> pa.Table:
    """Return both, sorted by time; of what has moved, which is sorted, only what is younger than `waiting` is moved."""
    if not waiting.num_rows:
        return moved
    waiting = waiting.select(moved.column_names)
    oldest = pc.min(waiting[TIMESTAMP])
    older = int(pc.sum(pc.less(moved[TIMESTAMP], oldest), min_count=0).as_py())
    newest = pa.concat_tables([moved.slice(older), waiting], promote_options="default").sort_by(TIMESTAMP)
    return pa.concat_tables([moved.slice(0, older), newest], promote_options="default")


def _with_lake(lake: Lake, name: str, waiting: pa.Table, *, since: datetime) -> pa.Table:
    if lake.version(name) is None:
        return waiting
    return pa.concat_tables([lake.read(name, start=since), waiting], promote_options="default")


def _anchors(home: Platform) -> Anchors | None:
    """Return the item vectors of the first champion that has any; the same whatever serves since."""
    for champion in home.rollouts.history():
        try:
            bundle = load_bundle(home.settings.bundles, champion.digest)
        except BundleError:
            continue
        if isinstance(bundle.scorer, EncoderScorer):
            vectors = bundle.scorer.item_vectors[-len(bundle.vocabulary) :]
            return Anchors(bundle.vocabulary.ids, np.asarray(vectors, dtype=np.float32), bundle.digest)
    return None
