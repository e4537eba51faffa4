"""Simulated days: series of figures with their noise, and tables of events that faults are put into."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data import faults, schema

LEARNING = 56
ROWS = 10_000
EVENT_DAYS, FAULT_DAY = 90, 86
DAY_SPREAD = 0.02
"""Day-to-day spread of a figure beyond sampling, in sigmas of a row."""
SEASON = 0.05
"""Weekend effect of a figure, as a standard deviation over figures."""
NOISE = ("plain", "heavy tails", "autocorrelated")

_ITEMS, _CREATORS, _USERS = 2000, 200, 3000
_MICROSECONDS_A_DAY = 86_400_000_000
_START = 1_760_000_000 // 86_400 * _MICROSECONDS_A_DAY
_SURFACES = ("video", "live", "search")


def noise(
    world: str, *, days: int, series: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (D, S) daily means in sigmas of a row, and which days are weekends.

    Args:
        world: ``plain`` (normal days), ``heavy tails`` (Student's t, 4 degrees of freedom, same spread) or
            ``autocorrelated`` (0.3 from day to day, same spread).
        days: D.
        series: S.
        rng: Source of chance.
    """
    shape = (days, series)
    if world == "heavy tails":
        drawn = rng.standard_t(4, size=shape) / np.sqrt(2)
    else:
        drawn = rng.normal(size=shape)
        if world == "autocorrelated":
            for day in range(1, days):
                drawn[day] = 0.3 * drawn[day - 1] + np.sqrt(1 - 0.3**2) * drawn[day]
    weekend = np.arange(days) % 7 >= 5
    season = np.where(weekend[:, None], rng.normal(0, SEASON, size=series), 0.0)
    return season + DAY_SPREAD * drawn + rng.normal(0, 1 / np.sqrt(ROWS), size=shape), weekend


def item_table() -> pa.Table:
    """Return the items: ten a creator, eight categories."""
    number = np.arange(_ITEMS)
    columns: dict[str, object] = {
        schema.ITEM_ID: [f"i{i}" for i in number],
        schema.CREATOR_ID: [f"c{i % _CREATORS}" for i in number],
        schema.CATEGORY: [f"k{i % 8}" for i in number],
        schema.SAFETY: ["ok"] * _ITEMS,
    }
    return pa.table([columns.get(f.name, pa.nulls(_ITEMS, f.type)) for f in schema.ITEMS], schema=schema.ITEMS)


def event_table(rng: np.random.Generator) -> pa.Table:
    """Return `EVENT_DAYS` days of `ROWS` events: Zipf popularity that wobbles from day to day, 1 % null watch time."""
    size = EVENT_DAYS * ROWS
    day = np.repeat(np.arange(EVENT_DAYS), ROWS)
    weights = 1 / np.arange(20, _ITEMS + 20)
    item = np.concatenate([_items_of_a_day(weights, rng) for _ in range(EVENT_DAYS)])
    level = rng.normal(0, DAY_SPREAD, size=EVENT_DAYS)[day]
    clicked = rng.random(size) < 0.3
    columns: dict[str, object] = {
        schema.EVENT_ID: pa.array(np.arange(size)).cast(pa.string()),
        schema.USER_ID: _named("u", rng.integers(_USERS, size=size)),
        schema.ITEM_ID: _named("i", item),
        schema.TIMESTAMP: pa.array(_START + day * _MICROSECONDS_A_DAY + rng.integers(_MICROSECONDS_A_DAY, size=size)),
        schema.SURFACE: pa.array(_SURFACES).take(pa.array(np.searchsorted([0.6, 0.9], rng.random(size)))),
        schema.WATCH_SECONDS: pa.array(np.exp(2.5 + rng.normal(size=size) + level), mask=rng.random(size) < 0.01),
        schema.CLICKED: pa.array(clicked),
        schema.ORIGIN: pa.array([schema.ORIGIN_SYNTHETIC]).take(pa.array(np.zeros(size, dtype=np.int64))),
    }
    arrays = [
        pa.nulls(size, f.type) if f.name not in columns else columns[f.name].cast(f.type)  # type: ignore[attr-defined]  # all are Arrow's
        for f in schema.INTERACTIONS
    ]
    return pa.table(arrays, schema=schema.INTERACTIONS)


@dataclass(frozen=True)
class Fault:
    """A fault from day `FAULT_DAY` on.

    Attributes:
        words: What happens.
        by: Day by which it should be found; 1 is the first with the fault.
        families: Families of the figures that should find it.
        apply: Puts it into the events of the last days: (events, items, seed) -> events.
    """

    words: str
    by: int
    families: tuple[str, ...]
    apply: Callable[[pa.Table, pa.Table, int], pa.Table]

    def put(self, table: pa.Table, items: pa.Table, seed: int) -> pa.Table:
        """Return the table with the fault in its last days."""
        first = FAULT_DAY * ROWS
        return pa.concat_tables([table.slice(0, first), self.apply(table.slice(first), items, seed)])


FAULTS = {
    "5 % of popularity moved to one creator": Fault(
        "a middling creator",
        2,
        ("catalogue",),
        lambda table, items, seed: faults.push_creator(table, items, "c100", share=0.05, seed=seed),
    ),
    "5 % of popularity moved to one item": Fault(
        "a middling item",
        2,
        ("catalogue",),
        lambda table, _, seed: faults.push_item(table, "i900", share=0.05, seed=seed),
    ),
    "nulls 1 -> 3 %, from rows": Fault(
        "of watch time",
        1,
        ("data",),
        lambda table, _, seed: faults.raise_nulls(table, schema.WATCH_SECONDS, share=0.0202, seed=seed),
    ),
    "changed unit": Fault(
        "watch time in ms",
        1,
        ("data",),
        lambda table, *_: faults.scale_column(table, schema.WATCH_SECONDS, factor=1000.0),
    ),
    "one surface vanishes": Fault(
        "search, a tenth of the rows", 2, ("population",), lambda table, *_: faults.drop_surface(table, "search")
    ),
    "bot farm of 1 % users": Fault(
        "30 bots, 20 events each a day, 5 items",
        2,
        ("catalogue", "population"),
        lambda table, _, seed: faults.add_bots(table, users_share=0.01, events_each=80, items=5, seed=seed),
    ),
}
"""Faults by name; the last days are four, so a bot's 80 events are 20 a day."""


def _items_of_a_day(weights: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    today = weights * np.exp(rng.normal(0, 0.1, size=len(weights)))
    cumulative = np.cumsum(today)
    drawn: NDArray[np.int64] = np.searchsorted(cumulative, rng.random(ROWS) * cumulative[-1])
    return drawn


def _named(prefix: str, codes: NDArray[np.int64]) -> pa.Array:
    names = pa.array([f"{prefix}{code}" for code in range(int(codes.max()) + 1)])
    return names.take(pa.array(codes))
