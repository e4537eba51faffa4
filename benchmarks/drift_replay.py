"""The drift decision on real days: ML-100K replayed day by day as it is, then its last week with faults put in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.drift.figures import daily_figures
from monitoring.drift.judge import DriftConfig, Judgement, judge_figures
from monitoring.incidents import Incident, IncidentConfig, Transition, TransitionKind, advance, figure_of
from recmodels.data import faults, schema
from recmodels.data.schema import Tables
from recmodels.data.sources import SOURCES

LAST_DAYS = 7
CONFIG = IncidentConfig(resolve_seconds=86_400, reopen_seconds=86_400)


@dataclass(frozen=True)
class Line:
    """What a replay said.

    Attributes:
        figure: What was replayed.
        measured: Incidents opened, each with its day, its figures and their size in day-to-day spreads.
        count: Incidents opened.
        note: How much could be judged.
    """

    figure: str
    measured: str
    count: int
    note: str


def replay(path: Path) -> Iterator[Line]:
    """Replay ML-100K: the whole history, then the last seven days with each fault.

    Args:
        path: What the source `movielens` reads.
    """
    tables: Tables = SOURCES.module("movielens").read(path)
    judged = _judged(tables.interactions, tables.items)
    days = len(judged.figures.days)
    yield _line(f"{tables.name}, {days} days as they are", judged, first=0)
    yield _line(f"{tables.name}, last {LAST_DAYS} days as they are", judged, first=days - LAST_DAYS)
    start = datetime.combine(judged.figures.days[days - LAST_DAYS].item(), datetime.min.time(), tzinfo=UTC)
    is_current = pc.greater_equal(tables.interactions[schema.TIMESTAMP], pa.scalar(start))
    reference, current = (tables.interactions.filter(mask) for mask in (pc.invert(is_current), is_current))
    for name, put in _faults(reference).items():
        faulty = _judged(pa.concat_tables([reference, put(current)]), tables.items)
        yield _line(f"{tables.name}, last {LAST_DAYS} days, {name}", faulty, first=days - LAST_DAYS)


def _faults(reference: pa.Table) -> dict[str, Callable[[pa.Table], pa.Table]]:
    counted = reference.group_by(schema.ITEM_ID).aggregate([(schema.ITEM_ID, "count")])
    ranked = counted.sort_by([(f"{schema.ITEM_ID}_count", "descending"), (schema.ITEM_ID, "ascending")])
    middling = ranked[schema.ITEM_ID][ranked.num_rows // 2].as_py()
    return {
        "ratings of 1-10": lambda table: faults.scale_column(table, schema.RATING, factor=2.0),
        "3 % null ratings": lambda table: faults.raise_nulls(table, schema.RATING, share=0.03, seed=1),
        "20 % of events on one item": lambda table: faults.push_item(table, middling, share=0.2, seed=1),
        "10 % of events on one item": lambda table: faults.push_item(table, middling, share=0.1, seed=1),
        "5 % of events on one item": lambda table: faults.push_item(table, middling, share=0.05, seed=1),
        "half of the rows lost": lambda table: faults.drop_rows(table, share=0.5, seed=1),
        "nine tenths of the rows lost": lambda table: faults.drop_rows(table, share=0.9, seed=1),
        "a bot farm of 5 % of users": lambda table: faults.add_bots(
            table, users_share=0.05, events_each=200, items=5, seed=1
        ),
    }


def _judged(interactions: pa.Table, items: pa.Table) -> Judgement:
    return judge_figures(daily_figures(interactions, items), DriftConfig())


def _line(figure: str, judged: Judgement, *, first: int) -> Line:
    told = _opened(judged, first)
    judged_days = judged.track.is_judged[first:]
    note = (
        f"{len(judged.keys)} figures; a figure was judged on {np.median(judged_days.sum(axis=0)):.0f} days (median), "
        f"{judged_days.any(axis=1).sum()} days had any"
    )
    words = "; ".join(
        f"day {number - first + 1} ({judged.figures.days[number]}): "
        + ", ".join(f"{figure_of(one)} {one.size or 0:+.1f}" for one in opened.incident.results)
        for number, opened in told
    )
    return Line(figure, words or "no incident", len(told), note)


def _opened(judged: Judgement, first: int) -> list[tuple[int, Transition]]:
    incidents: tuple[Incident, ...] = ()
    found = []
    for number in range(first, len(judged.figures.days)):
        day: datetime = datetime.combine(judged.figures.days[number].item(), datetime.min.time(), tzinfo=UTC)
        after = advance(incidents, judged.results(number), model="", now=day + timedelta(days=1), config=CONFIG)
        incidents = after.incidents
        found += [(number, one) for one in after.transitions if one.kind is TransitionKind.OPENED]
    return found
