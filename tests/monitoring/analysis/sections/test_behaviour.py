"""Sessions, retention, watch time and surfaces on tables small enough to work out by hand."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from monitoring.analysis.statistics import wilson
from recmodels.data import schema
from tests.monitoring.analysis.tables import analysed, at, interactions, rows_of, scope_of


def visits(rows: list[tuple[str, str, datetime]]) -> pa.Table:
    users, surfaces, moments = zip(*rows, strict=True)
    return interactions(
        {
            schema.USER_ID: users,
            schema.ITEM_ID: [f"i{n}" for n in range(len(rows))],
            schema.SURFACE: surfaces,
            schema.TIMESTAMP: moments,
        }
    )


def test_a_session_ends_with_a_pause_of_more_than_half_an_hour(tmp_path: Path) -> None:
    events = visits(
        [
            *(("a", "video", at(minutes=m)) for m in (0, 10, 40, 71)),  # 30 minutes go on, 31 do not: 3 events, then 1
            *(("b", "video", at(minutes=m)) for m in (0, 20)),
        ]
    )
    with scope_of(tmp_path, events) as scope:
        found = analysed("sessions", scope)
    rows = rows_of(found, "measure")
    assert rows["events a session"]["mean"] == pytest.approx(6 / 3)
    assert rows["events a session"]["p50"] == 2
    assert rows["minutes a session"]["mean"] == pytest.approx((40 + 0 + 20) / 3)
    assert rows["sessions a person"]["mean"] == pytest.approx(3 / 2)
    assert found.findings[0].startswith("2 people had 3 sessions in 0.0 days: 1.50")


def test_retention_counts_whole_days_after_the_first_and_only_cohorts_old_enough(tmp_path: Path) -> None:
    events = visits(
        [
            *(("a", "video", at(days=d)) for d in (0, 1.5, 3.5)),
            *(("b", "video", at(days=d)) for d in (0.5, 2.2)),
            *(("c", "video", at(days=d)) for d in (2.1, 3.1)),
            *(("d", "video", at(days=d)) for d in (2.9,)),
        ]
    )
    with scope_of(tmp_path, events, start=at(), end=at(days=4)) as scope:
        found = analysed("retention", scope)
    rows = {(row["cohort"], row["day"]): row for row in found.table.to_pylist()}
    assert {key: (row["share"], row["people"]) for key, row in rows.items()} == {
        ("all", 1): (2 / 4, 4),  # a and c of a, b, c, d
        ("all", 2): (1 / 2, 2),  # b of a, b: the others are not old enough
        ("all", 3): (1 / 2, 2),
        ("2026-03-01 00:00", 1): (1 / 2, 2),
        ("2026-03-01 00:00", 2): (1 / 2, 2),
        ("2026-03-01 00:00", 3): (1 / 2, 2),
        ("2026-03-03 00:00", 1): (1 / 2, 2),
    }
    assert rows["all", 1]["lower"] == pytest.approx(float(wilson(0.5, 4, confidence=0.95).lower))
    assert "Day 1: 50.0 % (15.0 % to 85.0 %) of 4 people are active again." in found.findings


def test_who_was_there_before_the_span_is_in_no_cohort(tmp_path: Path) -> None:
    events = visits(
        [
            ("old", "video", at(days=-3)),
            *(("old", "video", at(days=d)) for d in (0.1, 1.1)),
            *((name, "video", at(days=0.1)) for name in ("a", "b")),
        ]
    )
    with scope_of(tmp_path, events, start=at(), end=at(days=2)) as scope:
        rows = analysed("retention", scope).table.to_pylist()
    assert [(row["cohort"], row["people"], row["share"]) for row in rows if row["cohort"] == "all"] == [("all", 2, 0.0)]


def test_watch_time_is_told_by_the_length_of_the_video(tmp_path: Path) -> None:
    watches = [("a", 4.0, 5.0), ("b", 4.75, 5.0), ("a", 1.0, 100.0), ("b", 95.0, 100.0), ("c", 2.0, 100.0)]
    users, watched, lasting = zip(*watches, strict=True)
    events = interactions(
        {
            schema.USER_ID: users,
            schema.ITEM_ID: ["i"] * 5,
            schema.TIMESTAMP: [at(minutes=m) for m in range(5)],
            schema.WATCH_SECONDS: watched,
            schema.DURATION_SECONDS: lasting,
        }
    )
    with scope_of(tmp_path, events) as scope:
        rows = rows_of(analysed("watch_time", scope), "band")
    assert list(rows) == ["under 7 s", "60 to 120 s"]
    assert rows["under 7 s"]["finished"] == pytest.approx(1 / 2)  # 4.75 is 95 % of 5
    assert rows["60 to 120 s"]["finished"] == pytest.approx(1 / 3)
    assert rows["60 to 120 s"]["left"] == pytest.approx(2 / 3)
    assert rows["60 to 120 s"]["p50"] == 2.0


def test_surfaces_share_the_people_who_use_both(tmp_path: Path) -> None:
    used = {"video": "abcd", "live": "abc", "search": "de"}
    events = visits([(user, surface, at()) for surface, people in used.items() for user in people])
    with scope_of(tmp_path, events) as scope:
        table = analysed("surface_overlap", scope).table
    found = {(row["name"], row["other"]): row for row in table.to_pylist()}
    assert found["video", "live"]["share"] == pytest.approx(3 / 4)
    assert found["live", "video"]["share"] == 1.0
    assert found["live", "search"]["both_use"] == 0
    assert found["video", "live"]["jaccard"] == pytest.approx(3 / 4)
    assert found["search", "video"]["of_all"] == pytest.approx(4 / 5)


def test_moves_are_within_a_session_alone(tmp_path: Path) -> None:
    walks = {"a": ["v", "l", "v", "l"], "b": ["v", "s", "v", "l"]}
    rows = [(user, name, at(minutes=place)) for user, walk in walks.items() for place, name in enumerate(walk)]
    rows += [("a", "s", at(days=1)), ("b", "s", at(days=1))]  # another session: nobody moved here
    with scope_of(tmp_path, visits(rows)) as scope:
        table = analysed("surface_moves", scope).table
    found = {(row["name"], row["other"]): row for row in table.to_pylist()}
    assert {key: row["y"] for key, row in found.items()} == {("v", "l"): 3, ("v", "s"): 1}  # l and s: one person left
    assert found["v", "l"]["share"] == pytest.approx(3 / 4)
    assert found["v", "l"]["expected"] == pytest.approx(3 / 4)
