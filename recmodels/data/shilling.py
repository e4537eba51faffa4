"""Shilling attacks to put into a table of events on purpose: fake accounts that push one item, hidden among fillers.

For benchmarks, tests and rehearsals of the monitoring. The rows are marked with the origin ``synthetic``, which nothing
that defends may read, and the same seed gives the same rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data import schema
from recmodels.errors import DataError

Kind = Literal["random", "average", "bandwagon", "segment"]
KINDS: Final[tuple[Kind, ...]] = ("random", "average", "bandwagon", "segment")
_CELLS_AT_ONCE = 4_000_000
_MICROSECONDS_A_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Attack:
    """What fake accounts do.

    Fillers make an account look alive. `random` draws them evenly from the catalogue, `average` by popularity, so that
    a profile resembles the average one; `bandwagon` adds the most popular items of all, and `segment` the most popular
    ones of the target's main category, so that the target comes close to what many people, or people of that taste,
    have taken.

    Source: Lam and Riedl 2004 (random, average), Burke, Mobasher, Williams and Bhaumik 2006 (bandwagon, segment). Those
    profiles are ratings; where there is no rating to set, the choice of fillers carries the difference.

    Attributes:
        kind: Which fillers.
        target: Item that is pushed.
        starts_at: First moment of the attack.
        user_share: Fake accounts, as a share of the accounts in the table.
        target_events: Events of each fake account on the target.
        fillers: Other items of each account, each once.
        selected: Of those, how many are the chosen popular ones (`bandwagon`, `segment`).
        hours: Length of the attack.
    """

    kind: Kind
    target: str
    starts_at: datetime
    user_share: float = 0.01
    target_events: int = 50
    fillers: int = 20
    selected: int = 5
    hours: float = 24.0


def fake_events(table: pa.Table, items: pa.Table, attack: Attack, *, seed: int) -> pa.Table:
    """Return the events of an attack alone, in the schema `INTERACTIONS`, sorted by time.

    A yes-or-no feedback column that `table` has any value of is true; a rating is the highest for the target and, for
    fillers, the item's mean under `average` and the mean of all otherwise; other measures are the column's mean.

    Args:
        table: Events that the attack hides among, in the schema `INTERACTIONS`.
        items: Rows in the schema `ITEMS`.
        attack: What the accounts do.
        seed: Of everything that is drawn.

    Raises:
        DataError: The table has no event, or the items table lacks the target.
    """
    if table.num_rows == 0:
        raise DataError("a shilling attack needs events to hide among; the table has none. Give at least a day.")
    catalogue = _Catalogue.of(table, items)
    place = np.flatnonzero(catalogue.ids == attack.target)
    if len(place) == 0:
        raise DataError(f"the items table lacks the target {attack.target!r}. Choose one of its {len(catalogue.ids)}.")
    rng = np.random.default_rng(seed)
    accounts = max(1, round(attack.user_share * pc.count_distinct(table[schema.USER_ID]).as_py()))
    fillers = _fillers(catalogue, int(place[0]), attack, accounts=accounts, rng=rng)  # (F, fillers)
    pushed = np.full((accounts, attack.target_events), place[0])
    chosen = np.concatenate([pushed, fillers], axis=1)  # (F, events)
    user = np.repeat(np.arange(accounts), chosen.shape[1])
    first = int(attack.starts_at.timestamp() * 1e6)
    moments = first + rng.integers(0, max(1, round(attack.hours * _MICROSECONDS_A_HOUR)), size=len(user))
    order = np.argsort(moments, kind="stable")
    return _rows(table, catalogue, chosen.ravel()[order], user[order], moments[order], attack, seed)


def inject(table: pa.Table, items: pa.Table, attack: Attack, *, seed: int) -> pa.Table:
    """Return the table with the events of an attack at its end; see `fake_events`."""
    return pa.concat_tables([table, fake_events(table, items, attack, seed=seed)])


def ends_at(attack: Attack) -> datetime:
    """Return the first moment after an attack."""
    return attack.starts_at + timedelta(hours=attack.hours)


@dataclass(frozen=True, eq=False)
class _Catalogue:
    ids: NDArray[np.str_]  # (N,)
    counts: NDArray[np.int64]  # (N,) events
    categories: NDArray[np.str_]  # (N,) main category, empty for none
    ratings: NDArray[np.float64]  # (N,) mean rating, NaN for none

    @classmethod
    def of(cls, table: pa.Table, items: pa.Table) -> "_Catalogue":
        ids = items[schema.ITEM_ID].combine_chunks()
        rows = pc.index_in(table[schema.ITEM_ID], value_set=ids).combine_chunks()
        known = rows.is_valid().to_numpy(zero_copy_only=False)
        codes = rows.fill_null(0).to_numpy()[known]
        counts = np.bincount(codes, minlength=len(ids))
        ratings = table[schema.RATING].combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64)[known]
        has = np.isfinite(ratings)
        sums = np.bincount(codes[has], weights=ratings[has], minlength=len(ids))
        rated = np.bincount(codes[has], minlength=len(ids))
        means = np.divide(sums, rated, out=np.full(len(ids), np.nan), where=rated > 0)
        main = [(text or "").split("|", 1)[0] for text in items[schema.CATEGORY].to_pylist()]
        return cls(np.array(ids.to_pylist(), dtype=np.str_), counts, np.array(main, dtype=np.str_), means)


def _fillers(
    catalogue: _Catalogue, target: int, attack: Attack, *, accounts: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw each account's fillers, (F, fillers), without an item twice and without the target."""
    picked = _selected(catalogue, target, attack)
    counts = catalogue.counts
    logits = np.log(counts + 1e-9) if attack.kind == "average" else np.where(counts > 0, 0.0, -np.inf)
    logits[target] = -np.inf
    logits[picked] = -np.inf
    number = min(max(attack.fillers - len(picked), 0), int(np.isfinite(logits).sum()))
    step = max(1, _CELLS_AT_ONCE // len(logits))
    parts = []
    for start in range(0, accounts, step):
        size = min(step, accounts - start)
        keys = logits + rng.gumbel(size=(size, len(logits)))  # the largest are a draw without replacement
        parts.append(np.argpartition(-keys, max(number - 1, 0), axis=1)[:, :number])
    drawn = np.concatenate(parts)
    return np.concatenate([np.tile(picked, (accounts, 1)), drawn], axis=1)


def _selected(catalogue: _Catalogue, target: int, attack: Attack) -> NDArray[np.int64]:
    if attack.kind == "bandwagon":
        open_to = np.ones(len(catalogue.ids), dtype=np.bool_)
    elif attack.kind == "segment":
        open_to = catalogue.categories == catalogue.categories[target]
    else:
        return np.zeros(0, dtype=np.int64)
    open_to[target] = False
    ranked = np.lexsort((catalogue.ids, -catalogue.counts))
    return ranked[open_to[ranked]][: min(attack.selected, attack.fillers)]


def _rows(
    table: pa.Table,
    catalogue: _Catalogue,
    item: NDArray[np.int64],
    user: NDArray[np.int64],
    moments: NDArray[np.int64],
    attack: Attack,
    seed: int,
) -> pa.Table:
    size = len(item)
    columns: dict[str, pa.Array] = {
        schema.EVENT_ID: pa.array([f"shilling-{seed}-{n}" for n in range(size)]),
        schema.USER_ID: pa.array([f"shilling-{seed}-{n}" for n in user]),
        schema.ITEM_ID: pa.array(catalogue.ids[item].tolist(), pa.string()),
        schema.TIMESTAMP: pa.array(moments).cast(schema.TIMESTAMP_TYPE),
        schema.SURFACE: pa.repeat(_commonest(table[schema.SURFACE]), size),
        schema.ORIGIN: pa.repeat(schema.ORIGIN_SYNTHETIC, size),
    }
    for name in schema.FEEDBACK_COLUMNS:
        if name != schema.HIDDEN and table[name].null_count < table.num_rows:
            columns[name] = pa.repeat(True, size)  # noqa: FBT003 - a value, no option
    for name in (schema.WATCH_SECONDS, schema.DURATION_SECONDS):
        if table[name].null_count < table.num_rows:
            columns[name] = pa.repeat(pc.mean(table[name]).as_py(), size)
    if table[schema.RATING].null_count < table.num_rows:
        columns[schema.RATING] = pa.array(_ratings(table, catalogue, item, attack))
    fields = schema.INTERACTIONS
    return pa.table(
        [columns[f.name].cast(f.type) if f.name in columns else pa.nulls(size, f.type) for f in fields], schema=fields
    )


def _ratings(table: pa.Table, catalogue: _Catalogue, item: NDArray[np.int64], attack: Attack) -> NDArray[np.float64]:
    mean, highest = pc.mean(table[schema.RATING]).as_py(), pc.max(table[schema.RATING]).as_py()
    own = catalogue.ratings[item] if attack.kind == "average" else np.full(len(item), np.nan)
    return np.where(catalogue.ids[item] == attack.target, highest, np.where(np.isfinite(own), own, mean))


def _commonest(column: pa.ChunkedArray) -> str:
    counted = pc.value_counts(column.combine_chunks())
    place = int(np.argmax(counted.field("counts").to_numpy()))
    return str(counted.field("values")[place].as_py())
