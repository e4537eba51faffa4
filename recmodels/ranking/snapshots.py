"""What had been counted of items, creators and categories by the end of each day, and nothing of the day itself.

An exposure on day D sees counts to the end of day D - 1: what a job that runs at midnight could have published. Counts
are kept as running sums, one row a key and day with exposures, so that the past 1 and 7 days are differences of two
sums; each sum is found by an ASOF join.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data.interactions import connect
from recmodels.data.schema import WATCH_SECONDS

WINDOWS: Final = (("1d", 1), ("7d", 7), ("all", None))
"""Name and days of each past window; None reaches back to the first exposure."""
MILLISECONDS: Final = 1000
MOST_SECONDS: Final = 10_000_000
"""Watch times and durations above it are none: 115 days."""
_KEY, _DAY, _ROW = "key", "day", "row"


def count_names(outcomes: Sequence[str]) -> tuple[str, ...]:
    """Return what is counted: exposures; of each outcome how often it came and how often it is known; watch time."""
    pairs = [(name, f"{name}_known") for name in outcomes]
    return ("exposures", *(name for pair in pairs for name in pair), "watch_milliseconds", "watch_known")


@dataclass(frozen=True, eq=False)
class DailyCounts:
    """Running sums by key and day.

    Attributes:
        outcomes: Feedback columns that are counted.
        table: ``key`` int32, ``day`` int32 (days since 1970 from whose start on the sums may be known) and one int64
            column for each of `count_names`, sorted by key and day; one row a key and day.
    """

    outcomes: tuple[str, ...]
    table: pa.Table

    @classmethod
    def of(
        cls,
        exposures: pa.Table,
        *,
        keys: NDArray[np.int32],
        days: NDArray[np.int32],
        outcomes: Sequence[str],
    ) -> "DailyCounts":
        """Count exposures.

        Args:
            exposures: Feedback columns and watch time, N rows; a watch time that is null, negative, not finite or
                above 115 days is not known.
            keys: ``(N,)`` what is counted; rows below 0 are not.
            days: ``(N,)`` day of each exposure.
            outcomes: Feedback columns that are counted.
        """
        sums = [f"sum(coalesce({name}, false)::INT)::BIGINT, count({name})" for name in outcomes]
        is_known = f"{WATCH_SECONDS} BETWEEN 0 AND {MOST_SECONDS}"
        milliseconds = f"CASE WHEN {is_known} THEN round({WATCH_SECONDS} * {MILLISECONDS})::BIGINT END"
        watch = f"coalesce(sum({milliseconds}), 0)::BIGINT"
        daily = ", ".join(["count(*)", *sums, watch, f"count(*) FILTER ({is_known})"])
        names = count_names(outcomes)
        running = ", ".join(f"sum({name}) OVER past AS {name}" for name in names)
        rows = exposures.select([*outcomes, WATCH_SECONDS])
        rows = rows.append_column(_KEY, pa.array(keys)).append_column(_DAY, pa.array(days))
        with connect() as connection:
            connection.register("exposures", rows)
            table = connection.sql(
                f"WITH daily({_KEY}, {_DAY}, {', '.join(names)}) AS ("  # noqa: S608 - names of our own schema
                f"SELECT {_KEY}, {_DAY} + 1, {daily} FROM exposures WHERE {_KEY} >= 0 GROUP BY {_KEY}, {_DAY}) "
                f"SELECT {_KEY}, {_DAY}, {running} FROM daily "
                f"WINDOW past AS (PARTITION BY {_KEY} ORDER BY {_DAY} ROWS UNBOUNDED PRECEDING) ORDER BY {_KEY}, {_DAY}"
            ).to_arrow_table()
        kinds = [pa.int32(), pa.int32(), *(pa.int64() for _ in names)]
        table = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
        key, day = (table[name].to_numpy().astype(np.int64) for name in (_KEY, _DAY))
        assert (np.diff(key * 2**32 + day) > 0).all(), "daily counts came back out of order"
        return cls(tuple(outcomes), table)

    def before(self, keys: NDArray[np.int32], days: NDArray[np.int32]) -> "CountsBefore":
        """Find what was counted before each day began.

        Args:
            keys: ``(N,)`` what was counted; below 0 for what was not.
            days: ``(N,)`` day at whose start the counts are wanted.
        """
        pairs, place = np.unique(np.stack([keys, days], axis=1), axis=0, return_inverse=True)
        lags = [0, *(days for _, days in WINDOWS if days is not None)]
        sums = self._sums(np.tile(pairs[:, 0], len(lags)), np.concatenate([pairs[:, 1] - lag for lag in lags]))
        sums = sums.reshape(len(lags), len(pairs), -1)
        windows = iter(sums[0] - sums[1:])
        found = [sums[0] if days is None else next(windows) for _, days in WINDOWS]
        return CountsBefore(np.stack(found, axis=1), place.reshape(-1))

    def _sums(self, keys: NDArray[np.int32], days: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the running sums that were known when each day began, ``(M, K)``."""
        names = count_names(self.outcomes)
        wanted = pa.table({_ROW: np.arange(len(keys)), _KEY: keys, _DAY: days})
        chosen = ", ".join(f"coalesce(counts.{name}, 0) AS {name}" for name in names)
        with connect() as connection:
            connection.register("counts", self.table)
            connection.register("wanted", wanted)
            found = connection.sql(
                f"SELECT wanted.{_ROW}, {chosen} FROM wanted ASOF LEFT JOIN counts "  # noqa: S608 - as above
                f"ON wanted.{_KEY} = counts.{_KEY} AND wanted.{_DAY} >= counts.{_DAY} ORDER BY wanted.{_ROW}"
            ).to_arrow_table()
        assert np.array_equal(found[_ROW].to_numpy(), np.arange(len(keys))), "snapshots came back out of order"
        return np.stack([found[name].to_numpy() for name in names], axis=1)


@dataclass(frozen=True, eq=False)
class CountsBefore:
    """Counts of N exposures, each pair of key and day held once.

    Attributes:
        counts: ``(P, W, K)`` in the orders of `WINDOWS` and `count_names`; 0 where nothing was counted.
        places: ``(N,)`` pair of each exposure.
    """

    counts: NDArray[np.int64]
    places: NDArray[np.int64]

    def of(self, rows: slice) -> NDArray[np.int64]:
        """Return the counts of some exposures, ``(n, W, K)``."""
        return self.counts[self.places[rows]]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The counts that are known on one day, by key.

    Attributes:
        day: Days since 1970.
        counts: Kind of key (``item``, ``creator``, ``category``, ``all``) -> ``(keys, W, K)``.
    """

    day: int
    counts: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Daily counts of every kind of key.

    Attributes:
        kinds: Kind of key -> its counts.
        sizes: Kind of key -> number of keys.
    """

    kinds: Mapping[str, DailyCounts]
    sizes: Mapping[str, int]

    def at(self, day: int) -> Snapshot:
        """Return what a job that ran when the day began would have published."""
        counts = {}
        for kind, daily in self.kinds.items():
            keys = np.arange(self.sizes[kind], dtype=np.int32)
            counts[kind] = daily.before(keys, np.full(len(keys), day, dtype=np.int32)).of(slice(None))
        return Snapshot(day, counts)
