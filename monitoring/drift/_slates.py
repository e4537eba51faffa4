"""Figures of the lists that were shown: what stands in them, how alike they are from day to day, how they were made."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift._rows import Rows, codes_of, divide, pair_counts, sums
from monitoring.drift.series import Array, Scale, Series
from recmodels.data import schema

RAREFIED_TO = 1000
"""Impressions of the sample whose distinct items are counted, so that a busy day does not look diverse."""

_TAIL = 0.99


def slate_series(rows: Rows, *, window_days: int) -> Iterator[Series]:
    """Yield what stands in the lists of each day.

    Args:
        rows: One row an impression.
        window_days: An item first shown within as many days is cold; figures of cold items start after as many.
    """
    size = len(rows.items.names)
    day, item, count = pair_counts(rows, rows.items.codes, size)
    total = rows.counts
    yield _distinct(rows, day, count)
    pairs = sums(day, count * (count - 1), days=len(rows.days)) + 1.0
    possible = total * (total - 1)
    chance = np.divide(pairs, possible, out=np.full(len(total), np.nan), where=possible > 0)
    about = "chance that two impressions share their item"
    yield Series("slate_concentration", "model", Scale.AMOUNT, chance, total, chance * np.sqrt(2 / pairs), about=about)
    first = np.full(size, len(rows.days))
    np.minimum.at(first, item, day)
    cold = sums(day, np.where(day - first[item] < window_days, count, 0.0), days=len(rows.days))
    share = divide(cold, total)
    share[:window_days] = np.nan
    about = f"share of impressions on items first shown within {window_days} days"
    yield Series("cold_share", "model", Scale.SHARE, share, total, about=about, memory_days=window_days)
    yield _overlap(rows, day, item, count)


def request_series(rows: Rows) -> Iterator[Series]:
    """Yield how the lists of each day were made: items a list, fallbacks and latency, one value a request."""
    codes = codes_of(rows.table[schema.REQUEST_ID])
    _, first = np.unique(codes, return_index=True)
    of_request = pa.array(np.sort(first))
    day = rows.day[np.sort(first)]
    requests = np.bincount(day, minlength=len(rows.days)).astype(np.float64)
    length = divide(rows.counts, requests)
    yield Series("items_per_list", "serving", Scale.AMOUNT, length, requests, about="items a list")
    fallback = pc.cast(rows.table[schema.IS_FALLBACK].take(of_request), pa.float64()).to_numpy()
    share = divide(sums(day, fallback, days=len(rows.days)), requests)
    yield Series("fallback_share", "serving", Scale.SHARE, share, requests, about="share of lists of popular items")
    seconds = rows.table[schema.LATENCY_SECONDS].take(of_request).to_numpy()
    for quantile, name, words in ((0.5, "latency_median", "median latency"), (_TAIL, "latency_p99", "p99 of latency")):
        values = _quantile(seconds, day, len(rows.days), quantile)
        yield Series(name, "serving", Scale.AMOUNT, values, requests, about=f"{words} in seconds")


def _distinct(rows: Rows, day: NDArray[np.int64], count: Array) -> Series:
    """Return how many distinct items `RAREFIED_TO` impressions of the day hold, drawn with replacement.

    Source: rarefaction, Hurlbert 1971; his draws are without replacement, which is the same on a large day.
    """
    total = rows.counts[day]
    left_out = np.exp(RAREFIED_TO * np.log1p(-np.minimum(count / np.maximum(total, 1.0), 1 - 1e-12)))
    expected = sums(day, 1.0 - left_out, days=len(rows.days))
    values = np.where(rows.counts > 0, expected, np.nan)
    about = f"distinct items among {RAREFIED_TO:,} impressions"
    return Series("slate_coverage", "model", Scale.AMOUNT, values, rows.counts, about=about)


def _overlap(rows: Rows, day: NDArray[np.int64], item: NDArray[np.int64], count: Array) -> Series:
    """Return which part of a day's impressions falls where yesterday's did: the sum of the smaller shares."""
    share = count / np.maximum(rows.counts[day], 1.0)
    keys = day * len(rows.items.names) + item  # ascending
    yesterday = keys - len(rows.items.names)
    place = np.minimum(np.searchsorted(keys, yesterday), len(keys) - 1)
    before = np.where(keys[place] == yesterday, share[place], 0.0)
    values = sums(day, np.minimum(share, before), days=len(rows.days))
    known = (rows.counts > 0) & np.concatenate([[False], rows.counts[:-1] > 0])
    values = np.where(known, values, np.nan)
    return Series(
        "slate_overlap", "model", Scale.LEVEL, values, rows.counts, about="overlap of the lists with yesterday's"
    )


def _quantile(values: Array, day: NDArray[np.int64], days: int, quantile: float) -> Array:
    ordered = values[np.lexsort((values, day))]
    count = np.bincount(day, minlength=days)
    starts = np.cumsum(count) - count
    place = starts + np.floor(quantile * np.maximum(count - 1, 0)).astype(np.int64)
    result = np.full(days, np.nan)
    result[count > 0] = ordered[place[count > 0]]
    return result
