"""Figures of what is consumed: popularity buckets of past days, concentration, new items, categories, creators.

Items are compared by how popular they were in the days before, never by raw id: a catalogue that renews itself is not
drift. The concentration is the chance that two events of a day fall on the same item (or creator): unlike Gini and a
top share of the day's own ranking it does not move with the number of rows alone.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pandas.util import hash_array

from monitoring.drift._rows import Coded, Rows, encode, pair_counts
from monitoring.drift.series import Array, Scale, Series
from recmodels.data import schema

_HEAD_MASS = 0.5
_TOP_ITEMS = 0.01


def popularity_series(rows: Rows, *, window_days: int) -> Iterator[Series]:
    """Yield the share of events on items that were popular in the `window_days` days before, and on unseen items."""
    size = len(rows.items.names)
    day, item, count = pair_counts(rows, rows.items.codes, size)
    bounds = np.searchsorted(day, np.arange(len(rows.days) + 1))
    total = rows.counts
    head, top = (np.full(len(rows.days), np.nan) for _ in range(2))
    past = np.zeros(size)
    ties = hash_array(rows.items.names.astype(object))  # equally popular items stand in an order that says nothing
    for d in range(len(rows.days)):
        today = slice(bounds[d], bounds[d + 1])
        if d >= window_days and total[d] > 0 and past.any():
            ranked = np.lexsort((ties, -past))
            mass = np.cumsum(past[ranked])
            events = np.bincount(item[today], weights=count[today], minlength=size)[ranked]
            head[d] = events[: np.searchsorted(mass, _HEAD_MASS * mass[-1]) + 1].sum() / total[d]
            top[d] = events[: max(1, round(_TOP_ITEMS * np.count_nonzero(past)))].sum() / total[d]
        np.add.at(past, item[today], count[today])
        if d >= window_days:
            gone = slice(bounds[d - window_days], bounds[d - window_days + 1])
            np.subtract.at(past, item[gone], count[gone])
    about = f"share of events on the items that made half of the events of the last {window_days} days"
    yield Series("head_share", "catalogue", Scale.SHARE, head, total, about=about, memory_days=window_days)
    about = f"share of events on the 1 % most popular items of the last {window_days} days"
    yield Series("top_items_share", "catalogue", Scale.SHARE, top, total, about=about, memory_days=window_days)
    yield _new_items(rows, day=day, item=item, count=count, window_days=window_days)


def concentration_series(rows: Rows, items: pa.Table) -> Iterator[Series]:
    """Yield the chance that two events of a day share their item, their creator and their user's."""
    yield _concentration(rows, rows.items, name="item_concentration", family="catalogue", of="item")
    creators = _of_items(rows, items, schema.CREATOR_ID)
    if creators is not None:
        yield _concentration(rows, creators, name="creator_concentration", family="catalogue", of="creator")
    by_user = _concentration(rows, rows.users, name="user_concentration", family="population", of="user")
    users = np.bincount(pair_counts(rows, rows.users.codes, len(rows.users.names))[0], minlength=len(rows.days))
    yield replace(by_user, units=users.astype(np.float64))


def category_series(rows: Rows, items: pa.Table, *, limit: int, history: int) -> Iterator[Series]:
    """Yield the share of each of the main categories that were largest in the first `history` days."""
    categories = _of_items(rows, items, schema.CATEGORY, main=True)
    if categories is None:
        return
    totals = rows.counts
    size = len(categories.names)
    early = np.bincount(categories.codes[rows.day < history], minlength=size)
    for code in np.argsort(-early, kind="stable")[:limit]:
        if early[code] and categories.names[code]:
            share = np.divide(
                rows.by_day(categories.codes == code), totals, out=np.full(len(totals), np.nan), where=totals > 0
            )
            name = str(categories.names[code])
            about = f"share of events on items of category {name}"
            yield Series(
                "category_share", "catalogue", Scale.SHARE, share, totals, slice=f"category={name}", about=about
            )


def _new_items(
    rows: Rows, *, day: NDArray[np.int64], item: NDArray[np.int64], count: Array, window_days: int
) -> Series:
    first = np.full(len(rows.items.names), len(rows.days))
    np.minimum.at(first, item, day)
    fresh = np.bincount(day, weights=np.where(first[item] == day, count, 0.0), minlength=len(rows.days))
    total = rows.counts
    share = np.divide(fresh, total, out=np.full(len(total), np.nan), where=total > 0)
    share[:window_days] = np.nan
    return Series("new_items_share", "catalogue", Scale.SHARE, share, total, about="share of events on unseen items")


def _concentration(rows: Rows, coded: Coded, *, name: str, family: str, of: str) -> Series:
    day, _, count = pair_counts(rows, coded.codes, len(coded.names))
    pairs = np.bincount(day, weights=count * (count - 1), minlength=len(rows.days))
    total = rows.counts
    possible = total * (total - 1)
    seen = pairs + 1.0  # one ordered pair more, so that a day without any has a logarithm
    chance = np.divide(seen, possible, out=np.full(len(total), np.nan), where=possible > 0)
    errors = chance * np.sqrt(2 / seen)
    return Series(name, family, Scale.AMOUNT, chance, total, errors, about=f"chance that two events share their {of}")


def _of_items(rows: Rows, items: pa.Table, column: str, *, main: bool = False) -> Coded | None:
    if column not in items.column_names or items[column].null_count == items.num_rows:
        return None
    known = encode(items[schema.ITEM_ID]).names
    values = np.asarray([v or "" for v in items[column].to_pylist()], dtype=np.str_)
    if main:
        values = np.asarray([v.split("|", 1)[0] for v in values], dtype=np.str_)
    names, codes = np.unique(np.append(values, ""), return_inverse=True)
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known[order], rows.items.names)
    place = np.minimum(place, len(known) - 1)
    found = known[order][place] == rows.items.names
    of_item = np.where(found, codes[:-1][order][place], codes[-1])
    return Coded(codes=of_item[rows.items.codes].astype(np.int64), names=names)
