"""What the monitor reads: events and impressions up to now, bounded in rows whatever the traffic."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.wiring import Platform
from infra.lake import Lake
from monitoring.drift.served import Anchors, Served
from recmodels.bundle import load_bundle
from recmodels.data.schema import ORIGIN_EVENT, TIMESTAMP
from recmodels.errors import BundleError, StoreError
from recmodels.scorers import EncoderScorer


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


def read_window(home: Platform, *, extra: Path | None, days: int, history_days: int, rows: int) -> Window:
    """Read the newest `days` days and the `history_days` before them, of as many users as make about `rows` rows.

    Args:
        home: The stores.
        extra: Replayed interactions (Parquet) that follow the lake's; all of them are read.
        days: Length of the current part.
        history_days: Length of the reference, at most.
        rows: Most rows, about.

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
    table = home.lake.read("interactions", start=_midnight(first), share=share)
    if extra is not None:
        table = pa.concat_tables([table, pq.read_table(extra)], promote_options="default")
    start = pa.scalar(pc.max(table[TIMESTAMP]).as_py() - timedelta(days=days))
    is_new = pc.greater_equal(table[TIMESTAMP], start)
    return Window(table.filter(pc.invert(is_new)), table.filter(is_new), share)


def read_served(home: Platform, *, now: datetime, history_days: int, rows: int) -> Served:
    """Read what was served in the last `history_days` days, from the lake and what waits to move there."""
    since = now - timedelta(days=history_days)
    share = 1.0
    if home.lake.version("impressions") is not None:
        share = _share(home.lake.daily_counts("impressions"), since.date(), rows)
    waiting = home.events.waiting(origin=ORIGIN_EVENT, share=share)
    return Served(
        impressions=_with_lake(home.lake, "impressions", waiting.impressions, since=since, share=share),
        outcomes=_with_lake(home.lake, "outcomes", waiting.outcomes, since=since, share=1.0),
        as_of=now,
        champion_days=[one.since.date() for one in home.rollouts.history()[1:]],
        anchors=_anchors(home),
    )


def rows_since(lake: Lake, moment: datetime, *, extra: Path | None) -> int:
    """Return how many interactions there are from the day of `moment` on, those in the file `extra` included."""
    more = 0 if extra is None else pq.read_metadata(extra).num_rows
    return more + sum(count for day, count in lake.daily_counts("interactions").items() if day >= moment.date())


def _share(counts: dict[date, int], first: date, rows: int) -> float:
    total = sum(count for day, count in counts.items() if day >= first)
    return min(1.0, rows / max(total, 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), tzinfo=UTC)


def _with_lake(lake: Lake, name: str, waiting: pa.Table, *, since: datetime, share: float) -> pa.Table:
    if lake.version(name) is None:
        return waiting
    moved = lake.read(name, start=since, share=share)
    return pa.concat_tables([moved, waiting], promote_options="default")


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
