"""What every analysis must do: words for data that lack something, a table that its columns name, and no user."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from monitoring.analysis import ANALYSES
from monitoring.analysis.result import Group
from monitoring.analysis.scope import Config
from recmodels.data import schema
from tests.monitoring.analysis.tables import analysed, at, interactions, items, scope_of, users

PEOPLE, CATALOGUE = 40, 12
USERS = [f"person-{n}" for n in range(PEOPLE)]


def world(*, days: float = 14.0, lacking: tuple[str, ...] = ()) -> pa.Table:
    rng = np.random.default_rng(5)
    number = 1_500
    events = interactions(
        {
            schema.USER_ID: [USERS[n] for n in rng.integers(0, PEOPLE, number)],
            schema.ITEM_ID: [f"i{n}" for n in rng.integers(0, CATALOGUE, number)],
            schema.TIMESTAMP: [at(days=float(d)) for d in rng.random(number) * days],
            schema.SURFACE: [f"s{n}" for n in rng.integers(0, 3, number)],
            schema.WATCH_SECONDS: rng.random(number) * 30,
            schema.DURATION_SECONDS: rng.choice([5.0, 20.0, 25.0], number),
            schema.LONG_VIEWED: rng.random(number) < 0.4,
        }
    )
    for name in lacking:
        place = events.column_names.index(name)
        events = events.set_column(place, events.schema.field(name), pa.nulls(number, events.schema.field(name).type))
    return events


FULL = world()
ITEMS = items(
    {
        schema.ITEM_ID: [f"i{n}" for n in range(CATALOGUE)],
        schema.CREATOR_ID: [f"c{n % 4}" for n in range(CATALOGUE)],
        schema.CATEGORY: [f"t{n % 3}|x" for n in range(CATALOGUE)],
        schema.TEXT: [f"title {n}" for n in range(CATALOGUE)],
    }
)
SEGMENTS = users({schema.USER_ID: USERS, "plan": ["free" if n % 2 else "paid" for n in range(PEOPLE)]})
ONE_SURFACE = FULL.set_column(
    FULL.column_names.index(schema.SURFACE), FULL.schema.field(schema.SURFACE), pa.array(["video"] * FULL.num_rows)
)
LACKING = {
    "nothing": (FULL, ITEMS, SEGMENTS),
    "events": (FULL.slice(0, 0), ITEMS, SEGMENTS),
    "all but one event": (FULL.slice(0, 1), ITEMS, SEGMENTS),
    "all but one day": (world(days=1.0), ITEMS, SEGMENTS),
    "all but one moment": (world(days=0.0), ITEMS, SEGMENTS),
    "items and users": (FULL, None, None),
    "watch times": (world(lacking=(schema.WATCH_SECONDS,)), ITEMS, SEGMENTS),
    "durations": (world(lacking=(schema.DURATION_SECONDS,)), ITEMS, SEGMENTS),
    "feedback": (world(lacking=(schema.LONG_VIEWED,)), ITEMS, SEGMENTS),
    "surfaces": (ONE_SURFACE, ITEMS, SEGMENTS),
}


@pytest.mark.parametrize(
    ("lacking", "is_order_only"), [*((name, False) for name in LACKING), ("nothing", True), ("events", True)]
)
def test_they_answer_with_words_and_a_table_when_something_is_missing(
    tmp_path: Path, lacking: str, is_order_only: bool
) -> None:
    events, catalogue, people = LACKING[lacking]
    with scope_of(tmp_path, events, catalogue=catalogue, people=people, is_order_only=is_order_only) as scope:
        for name in ANALYSES.names():
            found = analysed(name, scope)
            assert found.findings
            assert all(words.endswith(".") and "nan" not in words for words in found.findings), (name, found.findings)
            assert found.method.endswith(".")
            assert {column.name for column in found.columns} <= set(found.table.column_names)
            assert not found.columns or found.table.num_rows
            assert not set(USERS) & {value for column in found.table.columns for value in column.to_pylist()}


def test_they_say_the_same_when_the_rows_are_in_another_order(tmp_path: Path) -> None:
    shuffled = FULL.take(pa.array(np.random.default_rng(1).permutation(FULL.num_rows)))
    said = []
    for place, events in enumerate((FULL, shuffled)):
        folder = tmp_path / str(place)
        folder.mkdir()
        with scope_of(folder, events, catalogue=ITEMS, people=SEGMENTS) as scope:
            found = {name: analysed(name, scope) for name in ANALYSES.names()}
        assert all(one.group in Group and one.table.num_rows and one.columns for one in found.values())
        said.append([one.findings for one in found.values()])
    assert said[0] == said[1]


def test_they_are_silent_when_too_few_people_did_anything(tmp_path: Path) -> None:
    config = Config(least_users=PEOPLE + 1)
    with scope_of(tmp_path, FULL, catalogue=ITEMS, people=SEGMENTS, config=config) as scope:
        found = [analysed(name, scope) for name in ANALYSES.names()]
    assert not any(one.table.num_rows or one.charts for one in found)
