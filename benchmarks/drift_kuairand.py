"""The drift decision on KuaiRand's 14 days, as they are and with faults: `python -m benchmarks.drift_kuairand FOLDER`.

Two weeks are no history to learn from. Its 70 days are drawn within days 1 to 7 instead: each is one of those days with
its users drawn anew, with replacement. Such a history knows levels, and how they vary between seven days and between
users; it knows no week, so that no weekly term is learned. Figures that look back over days (new users, new items, the
former head) mean nothing on it and are left out. Days 8 to 14 are real, and are the ones judged; days are those of the
data's clock (UTC+8).
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitoring.drift.figures import FiguresConfig, daily_figures
from monitoring.drift.judge import DriftConfig, Judgement, judge_figures
from recmodels.data import faults, schema
from recmodels.data.schema import Tables
from recmodels.data.sources import SOURCES

FIRST = date(2022, 4, 25)
TAUGHT_DAYS = 7
JUDGED_DAYS = 7
HISTORY_DAYS = 70
SEED = 20261121
_DAY = 86_400_000_000
_CLOCK = 8 * 3_600_000_000
_LOOKS_BACK = ("new_users_share", "new_items_share", "head_share", "top_items_share")
Fault = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Line:
    """One replay of days 8 to 14.

    Attributes:
        fault: What was put in; empty for the days as they are.
        target: What should come of it.
        measured: What came of it: the day on which a figure alarms that is calm on the days as they are.
        delay: That day, counted from 1; 0 where nothing was found.
        figures: Which figures, with their deviation in day-to-day spreads.
        holds: The target is met; None where none was set.
    """

    fault: str
    target: str
    measured: str
    delay: int
    figures: str
    holds: bool | None


def main(arguments: list[str] | None = None) -> int:
    """Replay, print the table; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what the source `kuairand` reads")
    parser.add_argument("--seed", type=int, default=SEED, help="source of chance")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    lines = replay(SOURCES.module("kuairand").read(options.folder), seed=options.seed)
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines)
    return 0 if all(line.holds is not False for line in lines) else 1


def replay(tables: Tables, *, seed: int, names: tuple[str, ...] | None = None) -> list[Line]:
    """Judge days 8 to 14 as they are, then with each fault.

    Args:
        tables: KuaiRand.
        seed: Which users the history is drawn from, and which rows are hit.
        names: Only these faults; None for all.
    """
    events = _on_its_clock(tables.interactions)
    day = _day_of(events)
    taught = events.filter(pa.array((day >= 0) & (day < TAUGHT_DAYS)))
    current = events.filter(pa.array((day >= TAUGHT_DAYS) & (day < TAUGHT_DAYS + JUDGED_DAYS)))
    past = history(taught, days=HISTORY_DAYS, rng=np.random.default_rng(seed))
    calm = judge(past, current, tables.items)
    lines = [_as_is(calm)]
    for name, (target, spoil, put) in _faults(taught, tables.items, seed).items():
        if names is None or name in names:
            lines.append(_found(name, target, judge(spoil(past), put(current), tables.items), calm))
    return lines


def history(taught: pa.Table, *, days: int, rng: np.random.Generator) -> pa.Table:
    """Return `days` days before the judged ones, each a day of `taught` with its users drawn anew with replacement."""
    day = _day_of(taught)
    order = np.concatenate([rng.permutation(TAUGHT_DAYS) for _ in range(-(-days // TAUGHT_DAYS))])[:days]
    parts = []
    for number, source in enumerate(order):
        rows = np.flatnonzero(day == source)
        picked, copy = _drawn(taught[schema.USER_ID].take(pa.array(rows)), rng)
        part = taught.take(pa.array(rows[picked]))
        moved = (
            pc.cast(part[schema.TIMESTAMP], pa.int64()).to_numpy() + int(number - days + TAUGHT_DAYS - source) * _DAY
        )
        names = pc.binary_join_element_wise(part[schema.USER_ID], pa.array(copy.astype(str)), "#")
        parts.append(_with(_with(part, schema.TIMESTAMP, _times(moved)), schema.USER_ID, names))
    return pa.concat_tables(parts)


def judge(past: pa.Table, current: pa.Table, items: pa.Table) -> Judgement:
    """Judge every day, each by those before it."""
    figures = daily_figures(pa.concat_tables([past, current]), items, config=FiguresConfig(window_days=1))
    kept = {key: one for key, one in figures.series.items() if one.name not in _LOOKS_BACK}
    config = DriftConfig(has_weekly_term=False, distinct_days=TAUGHT_DAYS)
    return judge_figures(replace(figures, series=kept), config)


def _faults(taught: pa.Table, items: pa.Table, seed: int) -> dict[str, tuple[str, Fault, Fault]]:
    """Return target, what is done to the history, and what is done to the judged days, by fault."""
    creator = _middling_creator(taught, items)

    def nulls(share: float) -> Fault:
        return lambda table: faults.raise_nulls(table, schema.WATCH_SECONDS, share=share, seed=seed)

    def same(table: pa.Table) -> pa.Table:
        return table

    return {
        "watch time in ms": ("day 1", same, lambda t: faults.scale_column(t, schema.WATCH_SECONDS, factor=1000.0)),
        "tab_4 vanishes": ("day 1", same, lambda t: faults.drop_surface(t, "tab_4")),
        "5 % of events to one author": (
            "by day 2",
            same,
            lambda t: faults.push_creator(t, items, creator, share=0.05, seed=seed),
        ),
        "null watch time 1 -> 3 %": ("day 1", nulls(0.01), nulls(0.03)),
        "labels delayed by 6 hours": ("-", same, lambda t: faults.delay_labels(t, seconds=6 * 3600)),
        "labels delayed by 1 hour": ("-", same, lambda t: faults.delay_labels(t, seconds=3600)),
        "a bot farm of 1 % of users, 50 events a day each": (
            "-",
            same,
            lambda t: faults.add_bots(t, users_share=0.01, events_each=50 * JUDGED_DAYS, items=5, seed=seed),
        ),
        "a bot farm of 1 % of users, 5 events a day each": (
            "-",
            same,
            lambda t: faults.add_bots(t, users_share=0.01, events_each=5 * JUDGED_DAYS, items=5, seed=seed),
        ),
    }


def _as_is(judged: Judgement) -> Line:
    alarm = judged.track.is_alarm[-JUDGED_DAYS:]
    columns = np.flatnonzero(alarm.any(axis=0))
    words = _words(judged, alarm, columns)
    measured = f"{len(columns)} of {len(judged.keys)} figures in alarm"
    return Line("days 8 to 14 as they are", "no incident", measured, 0, words, len(columns) == 0)


def _found(name: str, target: str, judged: Judgement, calm: Judgement) -> Line:
    """Count the days until a figure alarms that is calm on the days as they are."""
    quiet = set(calm.keys) - {
        key for column, key in enumerate(calm.keys) if calm.track.is_alarm[-JUDGED_DAYS:, column].any()
    }
    is_new = np.asarray([key in quiet for key in judged.keys])
    alarm = judged.track.is_alarm[-JUDGED_DAYS:] & is_new
    days = np.flatnonzero(alarm.any(axis=1))
    if not len(days):
        return Line(name, target, "missed", 0, "", None if target == "-" else False)
    delay = int(days[0]) + 1
    words = _words(judged, alarm, np.flatnonzero(alarm[days[0]]))
    return Line(name, target, f"day {delay}", delay, words, None if target == "-" else delay <= int(target[-1]))


def _words(judged: Judgement, alarm: NDArray[np.bool_], columns: NDArray[np.int64]) -> str:
    first = alarm[:, columns].argmax(axis=0)
    days = first + len(judged.track.residual) - JUDGED_DAYS
    size = np.array([judged.track.change(day, column)[1] for day, column in zip(days, columns, strict=True)])
    order = np.argsort(-np.abs(size))[:5]
    named = [f"{judged.keys[columns[n]]} {size[n]:+.1f} (day {first[n] + 1})" for n in order]
    more = len(columns) - len(order)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _middling_creator(taught: pa.Table, items: pa.Table) -> str:
    """Return the creator in the middle of those with 5 items or more, by number of items."""
    seen = items.filter(pc.is_in(items[schema.ITEM_ID], value_set=pc.unique(taught[schema.ITEM_ID])))
    counted = (
        seen.filter(pc.is_valid(seen[schema.CREATOR_ID])).group_by(schema.CREATOR_ID).aggregate([([], "count_all")])
    )
    ranked = counted.sort_by([("count_all", "descending"), (schema.CREATOR_ID, "ascending")])
    many = ranked.filter(pc.greater_equal(ranked["count_all"], min(5, pc.max(ranked["count_all"]).as_py())))
    chosen: str = many[schema.CREATOR_ID][many.num_rows // 2].as_py()
    return chosen


def _drawn(users: pa.ChunkedArray, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw as many users as there are, with replacement: places of their rows, and which copy each row belongs to."""
    codes = users.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    times = np.bincount(rng.integers(codes.max() + 1, size=codes.max() + 1), minlength=codes.max() + 1)[codes]
    picked = np.repeat(np.arange(len(codes)), times)
    copy = np.arange(len(picked)) - np.repeat(np.cumsum(times) - times, times)
    return picked, copy


def _on_its_clock(events: pa.Table) -> pa.Table:
    return _with(events, schema.TIMESTAMP, _times(pc.cast(events[schema.TIMESTAMP], pa.int64()).to_numpy() + _CLOCK))


def _day_of(events: pa.Table) -> NDArray[np.int64]:
    start = (FIRST - date(1970, 1, 1)).days
    days: NDArray[np.int64] = pc.cast(events[schema.TIMESTAMP], pa.int64()).to_numpy() // _DAY - start
    return days


def _times(micros: NDArray[np.int64]) -> pa.Array:
    return pa.array(micros, pa.timestamp("us", tz="UTC"))


def _with(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), values)


def _print(lines: list[Line]) -> None:
    table = Table("days 8 to 14", "target", "measured", "holds", "figures")
    for line in lines:
        holds = "-" if line.holds is None else "yes" if line.holds else "NO"
        table.add_row(line.fault, line.target, line.measured, holds, escape(line.figures))
    Console(width=200).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
