"""Rows join the days that they touch, in real Delta tables: what lies elsewhere stays, file by file."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.windows import Rebuilt, days_of, held_with_keys, kept_counts, rebuild
from infra.lake import Lake
from recmodels.data import schema
from recmodels.data.interactions import fingerprint, normalise

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAILY = 10_000
"""Rows of a day from which on each day is a partition of its own."""


def _rows(ids: list[str], hours: list[float], *, item: str = "i", origin: str = "event") -> pa.Table:
    moments = [FIRST + timedelta(hours=h) for h in hours]
    table = pa.table(
        {
            schema.EVENT_ID: ids,
            schema.USER_ID: ["u"] * len(ids),
            schema.ITEM_ID: [item] * len(ids),
            schema.TIMESTAMP: pa.array(moments, schema.TIMESTAMP_TYPE),
            schema.ORIGIN: [origin] * len(ids),
        }
    )
    return normalise(table, source="test")


def _full_day(day: int) -> pa.Table:
    return _rows([f"{day}-{n}" for n in range(DAILY)], list(24 * day + np.arange(DAILY) / DAILY * 23))


def _impressions(ids: Mapping[str, float]) -> pa.Table:
    """Live impressions whose request ids are the keys, each of one item, some hours after the first day began."""
    constant = {"user_key": "k", "surface": "video", "model_version": "1", "arm": "rest", "origin": "event"}
    rows = [
        {**constant, "request_id": name, "timestamp": FIRST + timedelta(hours=hours), "position": 0, "item_id": "i"}
        | {"propensity": 1.0, "is_fallback": False, "latency_seconds": 0.01}
        for name, hours in ids.items()
    ]
    return pa.Table.from_pylist(rows, schema=schema.IMPRESSIONS)


def _ids(lake: Lake) -> list[str]:
    ids: list[str] = lake.read("interactions")[schema.EVENT_ID].to_pylist()
    return ids


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def test_a_late_row_joins_its_day_and_no_other_file_changes_when_days_are_partitions(lake: Lake) -> None:
    for day in range(3):
        rebuild(lake, "interactions", _full_day(day))
    before = {uri for uri in lake.file_uris("interactions") if "day=2024-01-02" not in uri}
    whole = lake.read("interactions")
    late = _rows(["late"], [30.5])
    done = rebuild(lake, "interactions", late)
    assert done == Rebuilt((date(2024, 1, 2),), rows=1, dropped=0)
    after = {uri for uri in lake.file_uris("interactions") if "day=2024-01-02" not in uri}
    assert after == before
    assert len(before) == 2
    assert fingerprint(lake.read("interactions")) == fingerprint(pa.concat_tables([whole, late]))


def test_nothing_is_written_when_the_same_rows_come_again(lake: Lake) -> None:
    rebuild(lake, "interactions", _rows(["a", "b"], [1, 30]))
    rebuild(lake, "interactions", _rows(["c"], [2]))
    version = lake.version("interactions")
    for rows, replaces in ((_rows(["a", "b"], [1, 30]), False), (_rows(["c", "a", "b"], [2, 1, 30]), True)):
        assert rebuild(lake, "interactions", rows, replaces=replaces) == Rebuilt((), rows.num_rows, 0)
    assert lake.version("interactions") == version
    assert _ids(lake) == ["a", "c", "b"]


def test_rows_of_days_in_between_stay_when_a_batch_has_late_rows(lake: Lake) -> None:
    rebuild(lake, "interactions", _rows(["1", "2", "3"], [1, 25, 49]))
    done = rebuild(lake, "interactions", _rows(["late", "4"], [2, 73]))
    assert done.days == (date(2024, 1, 1), date(2024, 1, 4))
    assert _ids(lake) == ["1", "late", "2", "3", "4"]


def test_a_row_moves_when_it_comes_again_with_another_time(lake: Lake) -> None:
    rebuild(lake, "interactions", _rows(["a", "b", "c"], [1, 25, 49]))
    done = rebuild(lake, "interactions", _rows(["a"], [50], item="corrected"))
    assert done.days == (date(2024, 1, 1), date(2024, 1, 3))
    rows = lake.read("interactions").select([schema.EVENT_ID, schema.ITEM_ID]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("b", "i"), ("c", "i"), ("a", "corrected")]


def test_a_backfill_replaces_its_days_and_keeps_what_the_gateway_collected(lake: Lake) -> None:
    rebuild(lake, "interactions", _rows(["1", "wrong", "2", "3"], [1, 26, 25, 49]))
    lake.append("impressions", _impressions({"q1": 27}), key="events-1")
    lake.append("interactions", _rows(["q1:i"], [27]), key="events-1")
    lake.append("interactions", _rows(["made"], [28], origin="synthetic"), key="other")
    done = rebuild(lake, "interactions", _rows(["2", "right"], [25, 26]), replaces=True)
    assert done == Rebuilt((date(2024, 1, 2),), rows=2, dropped=1)
    assert _ids(lake) == ["1", "2", "right", "q1:i", "made", "3"]


def test_days_without_rows_are_cleared_when_a_backfill_spans_them(lake: Lake) -> None:
    rebuild(lake, "interactions", _rows(["1", "2", "3", "4"], [1, 25, 49, 73]))
    done = rebuild(lake, "interactions", _rows(["1", "3"], [1, 49]), replaces=True)
    assert _ids(lake) == ["1", "3", "4"]
    assert done.dropped == 1


def test_what_another_writer_adds_stays_when_it_comes_in_between(tmp_path: Path) -> None:
    class Interrupted(Lake):
        """A lake into which another process writes just before this one does."""

        is_quiet = False

        def write_window(self, table_name: str, frame: pa.Table, *, start: datetime, end: datetime) -> int:
            if not self.is_quiet:
                self.is_quiet = True
                Lake(str(tmp_path / "lake")).append("interactions", _rows(["collected"], [3]), key="events-9")
            return super().write_window(table_name, frame, start=start, end=end)

    rebuild(Lake(str(tmp_path / "lake")), "interactions", _rows(["a"], [1]))
    lake = Interrupted(str(tmp_path / "lake"))
    done = rebuild(lake, "interactions", _rows(["b"], [2]))
    assert _ids(lake) == ["a", "b", "collected"]
    assert done.days == (date(2024, 1, 1),)


def test_impressions_are_known_by_request_and_position_when_they_come_again(lake: Lake) -> None:
    rebuild(lake, "impressions", _impressions({"q1": 1, "q2": 25}))
    again = _impressions({"q2": 25})
    moved = again.set_column(
        again.column_names.index("position"), again.schema.field("position"), pa.array([1], pa.int32())
    )
    assert rebuild(lake, "impressions", again).days == ()
    assert rebuild(lake, "impressions", moved).days == (date(2024, 1, 2),)
    held = held_with_keys(lake, "impressions", again)
    assert held["request_id"].to_pylist() == ["q2"]
    assert held["position"].to_pylist() == [0]


def test_kept_counts_say_what_stays_beside_a_batch(lake: Lake) -> None:
    rows = _rows(["a", "new"], [1, 25])
    assert kept_counts(lake, rows, replaces=False) == {}
    rebuild(lake, "interactions", _rows(["a", "b", "c", "d"], [1, 2, 26, 49]))
    assert kept_counts(lake, rows, replaces=False) == {date(2024, 1, 1): 1, date(2024, 1, 2): 1}
    assert kept_counts(lake, rows, replaces=True) == {}


def test_no_row_brings_nothing_when_a_batch_is_empty(lake: Lake) -> None:
    assert rebuild(lake, "interactions", schema.INTERACTIONS.empty_table()) == Rebuilt((), 0, 0)
    assert lake.version("interactions") is None
    assert days_of(_rows(["a", "b"], [23.99, -0.5])) == (date(2023, 12, 31), date(2024, 1, 1))
