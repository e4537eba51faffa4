"""The numeric columns of a ranker, computed by the same functions for a training table and for one request.

All take arrays of N exposures and work element by element or on whole numbers, so that an exposure gets the same bits
alone and among a million.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.ranking.snapshots import MILLISECONDS, MOST_SECONDS, WINDOWS

COUNTED: Final = ("item", "creator", "category")
"""What past rates are of."""
EVERYTHING: Final = "all"
"""The key of all exposures together, whose rates the others start from."""
ITEM_NUMBERS: Final = ("log_duration", "log_age_days")
HISTORY_NUMBERS: Final = (
    "log_history_events",
    "log_history_events_1d",
    "log_seconds_since_event",
    "log_history_item",
    "log_history_creator",
    "log_history_category",
    "history_category_share",
    "log_seconds_since_creator",
    "log_seconds_since_category",
)
DAY_MICROSECONDS: Final = 86_400 * 1_000_000
_SECOND = 1_000_000.0


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is known of N items beside what was counted.

    Attributes:
        items: ``(N,)`` index in the vocabulary; 1 is unknown.
        creators: ``(N,)`` number of the creator; -1 where it is not known.
        categories: ``(N,)`` number of the main category; -1 where it is not known.
        durations: ``(N,)`` seconds; NaN where they are not known.
        published: ``(N,)`` microseconds since 1970; NaN where they are not known.
    """

    items: NDArray[np.int32]
    creators: NDArray[np.int32]
    categories: NDArray[np.int32]
    durations: NDArray[np.float64]
    published: NDArray[np.float64]


def rate_columns(rates: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that `past_numbers` makes."""
    return tuple(
        f"{kind}_{name}_{window}"
        for kind in COUNTED
        for window, _ in WINDOWS
        for name in ("log_exposures", *(f"{rate}_rate" for rate in rates), "log_watch_seconds")
    )


def past_numbers(
    counts: Mapping[str, NDArray[np.int64]],
    is_counted: Mapping[str, NDArray[np.bool_]],
    *,
    rates: Sequence[int],
    watch: int,
    smoothing: float,
) -> NDArray[np.float64]:
    """Return the columns of `rate_columns`, ``(N, P)``.

    A rate is (came + m r) / (known + m), with r the rate of everything so far and m the smoothing: what was never shown
    has the rate of everything. Where nothing at all has been counted, or the key is missing, it is NaN.

    Args:
        counts: Kind of key -> ``(N, W, K)`` what was counted, for `COUNTED` and `EVERYTHING`.
        is_counted: Kind of key -> ``(N,)`` whether the exposure has such a key.
        rates: Places among the K of the feedback whose rates are wanted; what is known stands behind each.
        watch: Place of the milliseconds watched; what is known stands behind it.
        smoothing: m.
    """
    came = np.array([*rates, watch])
    whole = counts[EVERYTHING][:, -1].astype(np.float64)  # (N, K) since the first exposure
    known = whole[:, came + 1]
    start = smoothing * np.divide(whole[:, came], known, out=np.full(known.shape, np.nan), where=known > 0)
    blocks = []
    for kind in COUNTED:
        seen = counts[kind]
        values = (seen[:, :, came] + start[:, None]) / (seen[:, :, came + 1] + smoothing)  # (N, W, R + 1)
        logs = np.log1p(np.stack([seen[:, :, 0].astype(np.float64), values[:, :, -1] / MILLISECONDS]))
        block = np.concatenate([logs[0][..., None], values[:, :, :-1], logs[1][..., None]], axis=2)
        blocks.append(
            block.reshape(len(seen), len(WINDOWS) * (len(came) + 1)) + np.where(is_counted[kind], 0.0, np.nan)[:, None]
        )
    return np.concatenate(blocks, axis=1)


def item_numbers(candidates: Candidates, moments: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return the columns `ITEM_NUMBERS`; NaN for a duration or an age that is none."""
    durations, ages = candidates.durations, (moments - candidates.published) / DAY_MICROSECONDS
    is_long, is_old = is_duration(durations), np.isfinite(ages) & (ages >= 0)
    return [_log(np.where(is_long, durations, np.nan)), _log(np.where(is_old, ages, np.nan))]


def is_duration(seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each number can be how long a video is: above 0, at most `MOST_SECONDS`."""
    possible: NDArray[np.bool_] = (seconds > 0) & (seconds <= MOST_SECONDS)
    return possible


def history_numbers(
    histories: Histories,
    candidates: Candidates,
    moments: NDArray[np.int64],
    *,
    creators: NDArray[np.int32],
    categories: NDArray[np.int32],
    has_times: bool,
) -> list[NDArray[np.float64]]:
    """Return the columns `HISTORY_NUMBERS`; those that need times are NaN where there are none.

    Args:
        histories: N rows strictly before each exposure.
        candidates: What was shown.
        moments: ``(N,)`` microseconds of each exposure.
        creators: ``(V,)`` creator of each index of the vocabulary; -1 where it is not known.
        categories: ``(V,)`` main category, likewise.
        has_times: The timestamps of histories are times.
    """
    counted = _counted(histories, candidates, moments, creators, categories)
    return _history_columns(counted, has_times=has_times)


def shared_history_numbers(
    history: Histories,
    candidates: Candidates,
    moment: int,
    *,
    creators: NDArray[np.int32],
    categories: NDArray[np.int32],
    has_times: bool,
) -> list[NDArray[np.float64]]:
    """Return what `history_numbers` does for N candidates under one history, the one row of `history`, at one moment.

    The same whole numbers are counted, so that the bits are the same; it takes a fraction of the time.
    """
    items, ages = history.items, moment - history.timestamps
    size, events = len(candidates.items), len(items)
    found = np.empty((size, _COLUMNS), dtype=np.int64)
    found[:, _EVENTS], found[:, _RECENT] = events, np.count_nonzero(ages < DAY_MICROSECONDS)
    found[:, _LAST] = ages[-1] if events else _NEVER
    found[:, _ITEM] = np.count_nonzero(candidates.items[:, None] == items, axis=1)
    for keys, wanted, count, last in (
        (creators[items], candidates.creators, _CREATOR, _LAST_CREATOR),
        (categories[items], candidates.categories, _CATEGORY, _LAST_CATEGORY),
    ):
        is_same = (keys == wanted[:, None]) & (wanted >= 0)[:, None]  # (N, L)
        found[:, count] = np.count_nonzero(is_same, axis=1)
        found[:, last] = _NEVER
        if events:
            newest = events - 1 - is_same[:, ::-1].argmax(axis=1)
            found[:, last] = np.where(found[:, count] > 0, ages[newest], _NEVER)
    return _history_columns(found, has_times=has_times)


def _history_columns(counts: NDArray[np.int64], *, has_times: bool) -> list[NDArray[np.float64]]:
    events = counts[:, _EVENTS].astype(np.float64)
    share = np.divide(counts[:, _CATEGORY], events, out=np.full(len(events), np.nan), where=events > 0)
    untimed = 0.0 if has_times else np.nan
    return [
        np.log1p(events),
        np.log1p(counts[:, _RECENT].astype(np.float64)) + untimed,
        _seconds(counts[:, _LAST]) + untimed,
        *(np.log1p(counts[:, place].astype(np.float64)) for place in (_ITEM, _CREATOR, _CATEGORY)),
        share,
        _seconds(counts[:, _LAST_CREATOR]) + untimed,
        _seconds(counts[:, _LAST_CATEGORY]) + untimed,
    ]


_EVENTS, _RECENT, _ITEM, _CREATOR, _CATEGORY, _LAST, _LAST_CREATOR, _LAST_CATEGORY = range(8)
_COLUMNS = 8
_NEVER = np.int64(2**62)


def _counted(
    histories: Histories,
    candidates: Candidates,
    moments: NDArray[np.int64],
    creators: NDArray[np.int32],
    categories: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Count in the history of each exposure, ``(N, 8)``: events of each sort, and microseconds since the last."""
    lengths, positions = histories.lengths, histories.positions()
    owner = np.repeat(np.arange(len(lengths)), lengths)
    items, ages = histories.items[positions], moments[owner] - histories.timestamps[positions]
    wanted_creator, wanted_category = candidates.creators[owner], candidates.categories[owner]
    same_creator = (creators[items] == wanted_creator) & (wanted_creator >= 0)
    same_category = (categories[items] == wanted_category) & (wanted_category >= 0)
    found = np.zeros((len(lengths), _COLUMNS), dtype=np.int64)
    found[:, _EVENTS] = lengths
    for place, chosen in (
        (_RECENT, ages < DAY_MICROSECONDS),
        (_ITEM, items == candidates.items[owner]),
        (_CREATOR, same_creator),
        (_CATEGORY, same_category),
    ):
        found[:, place] = np.bincount(owner[chosen], minlength=len(lengths))
    everything = np.ones(len(owner), dtype=np.bool_)
    for place, chosen in ((_LAST, everything), (_LAST_CREATOR, same_creator), (_LAST_CATEGORY, same_category)):
        found[:, place] = _youngest(owner[chosen], ages[chosen], len(lengths))
    return found


def _youngest(owner: NDArray[np.int64], ages: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return the age of each row's last event; `owner` never decreases, and ages never increase within a row."""
    found = np.full(rows, _NEVER, dtype=np.int64)
    found[owner] = ages  # of several the last stands
    return found


def _seconds(ages: NDArray[np.int64]) -> NDArray[np.float64]:
    return _log(np.where(ages == _NEVER, np.nan, ages / _SECOND))


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithm: NDArray[np.float64] = np.log1p(values)
    return logarithm
