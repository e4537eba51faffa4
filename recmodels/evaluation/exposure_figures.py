"""Figures of what a list shows: whose items, how new and how popular they are, and whether they follow a taste."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from recmodels.data.histories import Histories
from recmodels.data.schema import CREATOR_ID, PUBLISHED_AT
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.evaluation.metrics import gini

LARGE_SHARE: Final = 0.2
"""Large creators are this share of all creators, most training interactions first."""
SMALL_SHARE: Final = 0.5
"""Small creators are the last so large a share of all creators."""
NEW_SHARE: Final = 0.2
"""New items are the newest so large a share of the catalogue; those of the same date go together."""
FEWEST_CREATORS: Final = 5
"""With fewer creators there are no sizes to speak of."""
_SMOOTHING = 0.01
_QUERIES_AT_ONCE = 20_000


def item_groups(items: pa.Table, item_counts: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Group the catalogue by the size of its creators and by newness, ``(V,)`` each.

    - ``creators=large|middle|small``: creators by the training interactions of all their items, ties by name: the
      first `LARGE_SHARE`, the last `SMALL_SHARE` and the rest. Items without a creator belong to none.
    - ``items=new|older``: the newest `NEW_SHARE` of the items with a date of publication, and the others with one.

    A kind is left out where the catalogue cannot tell: fewer than `FEWEST_CREATORS` creators, or one date for all.

    Args:
        items: Rows in the schema `ITEMS`, in index order.
        item_counts: ``(V,)`` training interactions.
    """
    return _by_creator(items[CREATOR_ID], item_counts) | _by_date(items[PUBLISHED_AT])


def creators_of(items: pa.Table) -> NDArray[np.int64]:
    """Return the number of each index' creator, ``(V,)``; -1 for none."""
    encoded = items[CREATOR_ID].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.concatenate([np.full(FIRST_ITEM, -1), codes])


def creator_gini(counts: NDArray[np.int64], creators: NDArray[np.int64]) -> float | None:
    """Return the Gini coefficient of how often creators were shown; None with fewer than `FEWEST_CREATORS`."""
    size = int(creators.max(initial=-1)) + 1
    if size < FEWEST_CREATORS:
        return None
    shown = np.bincount(creators[creators >= 0], weights=counts[creators >= 0], minlength=size)
    return gini(np.concatenate([np.zeros(FIRST_ITEM), shown]).astype(np.int64))


def calibration_kl(
    lists: NDArray[np.int32], histories: Histories, categories: sparse.csr_array, *, k: int
) -> NDArray[np.float64]:
    """Return how far the categories of each list stray from those of its history, in nats, ``(Q,)``.

    KL(p || (1 - a) q + a p), a = 0.01, of the category shares p of the history and q of the first k slots: 0 when both
    are mixed alike, 4.6 when they have nothing in common. NaN where the history or the list has no category.

    Source: Steck 2018, "Calibrated Recommendations", section 3; every event and slot weighs the same here.

    Args:
        lists: ``(Q, K)`` item indices.
        histories: Q rows.
        categories: ``(V, G)`` shares of each item's categories, see `category_shares`.
        k: Slots.
    """
    parts = []
    for start in range(0, len(lists), _QUERIES_AT_ONCE):
        rows = np.arange(start, min(start + _QUERIES_AT_ONCE, len(lists)))
        numbers, items = histories.take(rows).flat()
        shown = lists[rows, :k]
        p = _mixed(numbers, items, len(rows), categories)
        q = _mixed(np.repeat(np.arange(len(rows)), shown.shape[1]), shown.ravel(), len(rows), categories)
        smoothed = (1 - _SMOOTHING) * q + _SMOOTHING * p
        ratio = np.divide(p, smoothed, out=np.ones_like(p), where=p > 0)
        parts.append((p * np.log(ratio)).sum(axis=1) + np.where(np.isfinite(q).all(axis=1), 0.0, np.nan))
    return np.concatenate(parts) if parts else np.zeros(0)


def category_shares(categories: Sequence[str | None], *, separator: str = "|") -> sparse.csr_array:
    """Return each index' categories, ``(V, G)``: an item of two has half of each; rows 0 and 1 hold none."""
    names = [sorted({name for name in (text or "").split(separator) if name}) for text in categories]
    number = {name: place for place, name in enumerate(sorted({name for row in names for name in row}))}
    lengths = np.array([0] * FIRST_ITEM + [len(row) for row in names], dtype=np.int64)
    columns = np.fromiter((number[name] for row in names for name in row), dtype=np.int64, count=int(lengths.sum()))
    values = 1.0 / np.repeat(lengths, lengths)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    return sparse.csr_array((values, columns, offsets), shape=(len(lengths), len(number)))


def popularity(
    lists: NDArray[np.int32], histories: Histories, item_counts: NDArray[np.int64], *, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean training interactions of the items of each list and of its history, ``(Q,)`` each.

    Both are NaN where either is empty, so that their means are over the same queries.
    """
    shown = lists[:, :k]
    rows, items = histories.flat()
    taken = np.bincount(rows, weights=item_counts[items], minlength=len(histories))
    slots = (shown >= FIRST_ITEM).sum(axis=1)
    both = (histories.lengths > 0) & (slots > 0)
    of_list = np.where(both, (item_counts[shown] * (shown >= FIRST_ITEM)).sum(axis=1) / np.maximum(slots, 1), np.nan)
    return of_list, np.where(both, taken / np.maximum(histories.lengths, 1), np.nan)


def slot_shares(
    lists: NDArray[np.int32], groups: Mapping[str, NDArray[np.bool_]], *, k: int
) -> dict[str, NDArray[np.float64]]:
    """Return the share of each list's slots that each group of items has, ``(Q,)``.

    The share is of the slots whose item belongs to a group of that kind; NaN where there is none.
    """
    shown = lists[:, :k]
    kinds: dict[str, NDArray[np.bool_]] = {}
    for name, members in groups.items():
        kind = name.partition("=")[0]
        kinds[kind] = kinds[kind] | members if kind in kinds else members
    known = {kind: members[shown].sum(axis=1) for kind, members in kinds.items()}
    shares = {}
    for name, members in groups.items():
        total = known[name.partition("=")[0]]
        shares[name] = np.where(total > 0, members[shown].sum(axis=1) / np.maximum(total, 1), np.nan)
    return shares


def _mixed(
    rows: NDArray[np.int64], items: NDArray[np.int32], size: int, categories: sparse.csr_array
) -> NDArray[np.float64]:
    """Return the category shares of each row of items, (size, G); NaN for a row without any."""
    counts = sparse.csr_array((np.ones(len(items)), (rows, items)), shape=(size, categories.shape[0]))
    mixed: NDArray[np.float64] = (counts @ categories).toarray()
    total = mixed.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(mixed, total, out=np.full_like(mixed, np.nan), where=total > 0)
    return shares


def _by_creator(column: pa.ChunkedArray, item_counts: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    encoded = column.combine_chunks().dictionary_encode()
    if len(encoded.dictionary) < FEWEST_CREATORS:
        return {}
    names = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    has = codes >= 0
    sizes = np.bincount(codes[has], weights=item_counts[FIRST_ITEM:][has], minlength=len(names))
    place = np.empty(len(names), dtype=np.int64)
    place[np.lexsort((names, -sizes))] = np.arange(len(names))
    large, small = math.ceil(LARGE_SHARE * len(names)), len(names) - math.floor(SMALL_SHARE * len(names))
    size_class = np.where(place < large, 0, np.where(place < small, 1, 2))
    of_item = np.concatenate([np.full(FIRST_ITEM, -1), np.where(has, size_class[codes], -1)])
    return {f"creators={name}": of_item == number for number, name in enumerate(("large", "middle", "small"))}


def _by_date(column: pa.ChunkedArray) -> dict[str, NDArray[np.bool_]]:
    known = np.concatenate([np.zeros(FIRST_ITEM, dtype=np.bool_), column.is_valid().to_numpy()])
    dates = np.concatenate([np.zeros(FIRST_ITEM, dtype=np.int64), column.cast(pa.int64()).fill_null(0).to_numpy()])
    if not known.any():
        return {}
    ordered = np.sort(dates[known])[::-1]
    since = ordered[math.ceil(NEW_SHARE * len(ordered)) - 1]
    is_new = known & (dates >= since)
    return {"items=new": is_new, "items=older": known & ~is_new} if (known & ~is_new).any() else {}
