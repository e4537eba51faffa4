"""Which topics are liked, what is finished but rarely shown, and whose taste moves."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from monitoring.analysis.scope import Config
from monitoring.analysis.statistics import wilson
from recmodels.data import schema
from tests.monitoring.analysis.tables import analysed, at, interactions, items, rows_of, scope_of, users

TOPICS = items({schema.ITEM_ID: ["i0", "i1", "i2"], schema.CATEGORY: ["sea|sky", "rock", None]})


def test_a_topic_is_liked_by_the_share_of_its_exposures(tmp_path: Path) -> None:
    rows = [
        ("a", "i0", True),
        ("a", "i0", True),
        ("b", "i0", False),
        ("a", "i1", False),
        ("b", "i1", True),
        ("b", "i2", True),
    ]
    names, shown, clicked = zip(*rows, strict=True)
    events = interactions(
        {
            schema.USER_ID: names,
            schema.ITEM_ID: shown,
            schema.TIMESTAMP: [at(minutes=m) for m in range(6)],
            schema.CLICKED: clicked,
        }
    )
    with scope_of(tmp_path, events, catalogue=TOPICS) as scope:
        found = analysed("topic_preferences", scope)
    rows = rows_of(found, "name")
    assert (rows["sea"]["share"], rows["rock"]["share"]) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert found.findings[0].startswith("Of all exposures 60.0% met interest.")


def world(rng: np.random.Generator, *, gem: float) -> pa.Table:
    """40 items of 10 or 100 seconds; short ones are finished by 60 %, long ones by 10 %, the rare long i1 by `gem`."""
    number = 6_000
    item = rng.integers(2, 40, number)
    item[:25], item[25:50] = 1, 0
    lasting = np.where(item % 2, 100.0, 10.0)
    likely = np.where(item == 1, gem, np.where(item % 2, 0.1, 0.6))
    return interactions(
        {
            schema.USER_ID: [f"u{n}" for n in np.arange(number) % 500],
            schema.ITEM_ID: [f"i{n}" for n in item],
            schema.TIMESTAMP: [at(minutes=m) for m in range(number)],
            schema.WATCH_SECONDS: np.where(rng.random(number) < likely, lasting, 1.0),
            schema.DURATION_SECONDS: lasting,
        }
    )


def test_a_rare_item_is_in_demand_when_it_is_finished_more_than_others_of_its_length(tmp_path: Path) -> None:
    events = world(np.random.default_rng(0), gem=0.8)
    with scope_of(tmp_path, events, config=Config()) as scope:
        found = analysed("gaps_items", scope)
    rows = rows_of(found, "name")
    assert [name for name, row in rows.items() if row["is_gap"]] == ["i1"]  # short i0 is finished as often, as usual
    assert rows["i1"]["shown"] == 25
    is_long = events[schema.DURATION_SECONDS].to_numpy() == 100
    is_ended = events[schema.WATCH_SECONDS].to_numpy() == 100
    is_gem = np.array(events[schema.ITEM_ID].to_pylist()) == "i1"
    assert rows["i1"]["ratio"] == pytest.approx(is_ended[is_gem].mean() / is_ended[is_long].mean())
    worth = 25 * 24 / 25  # 25 people with an exposure each: one is spent on the mean
    assert rows["i1"]["lower"] == pytest.approx(
        wilson(24 / 25, worth, confidence=0.95).lower / is_ended[is_long].mean()
    )
    assert rows["i1"]["lower"] < 8 < rows["i1"]["upper"]
    assert "item i1 leads: finished" in found.findings[1]


def test_nothing_is_in_demand_when_all_are_finished_as_their_length_lets_expect(tmp_path: Path) -> None:
    alarms = 0
    for seed in range(1, 6):
        with scope_of(tmp_path, world(np.random.default_rng(seed), gem=0.1), config=Config()) as scope:
            alarms += any(analysed("gaps_items", scope).table["is_gap"].to_pylist())
    assert alarms == 0


def tastes(rng: np.random.Generator, *, is_moving: bool) -> pa.Table:
    """Two weeks of 200 people; in the second the odd ones turn from the sea to rocks."""
    number = 6_000
    person = rng.integers(0, 200, number)
    days = rng.random(number) * 14
    turned = is_moving & (days >= 7) & (person % 2 == 1)
    item = (rng.random(number) < np.where(turned, 0.7, 0.4)).astype(int)
    return interactions(
        {
            schema.USER_ID: [f"u{n}" for n in person],
            schema.ITEM_ID: [f"i{n}" for n in item],
            schema.TIMESTAMP: [at(days=float(day)) for day in days],
        }
    )


@pytest.mark.parametrize("is_moving", [False, True])
def test_the_taste_of_a_segment_drifts_when_it_turns_to_another_topic(tmp_path: Path, is_moving: bool) -> None:
    halves = {name: ["even", "odd"] * 100 for name in ("parity", "events", "user", "bucket", """it's "that" """)}
    people = users({schema.USER_ID: [f"u{n}" for n in range(200)], **halves})
    events = tastes(np.random.default_rng(7), is_moving=is_moving)
    with scope_of(tmp_path, events, catalogue=TOPICS, people=people, end=at(days=14)) as scope:
        found = analysed("taste_drift", scope)
    rows = rows_of(found, "segment")
    assert {"events: odd", "user: odd", "bucket: odd", """it's "that" : odd"""} <= set(rows)
    assert not rows["parity: even"]["is_drift"]
    assert rows["parity: odd"]["is_drift"] is is_moving
    if is_moving:
        assert rows["parity: odd"]["lower"] < 0.3 < rows["parity: odd"]["upper"]
        assert ": odd" in found.findings[1]
    else:
        assert found.findings[0].startswith("No taste moves")
