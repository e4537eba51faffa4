"""What the monitor reads: bounded, of whole users, and with what has not moved to the lake."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.collect import MATURITY, collect
from flows.observed import read_served, read_window, rows_since
from flows.wiring import Platform
from monitoring.drift.served import ServedConfig, check_served
from monitoring.result import Status
from recmodels.assignment import Arm
from recmodels.data import schema
from tests.flows.test_collect import SHOWN, _ask, _click, platform  # noqa: F401 - a fixture


def test_events_of_whole_users_are_read_when_there_are_more_rows_than_asked_for(platform: Platform) -> None:  # noqa: F811
    everything = platform.lake.read("interactions")
    window = read_window(platform, extra=None, days=1, history_days=400, rows=everything.num_rows // 2)
    read = {*window.reference[schema.USER_ID].to_pylist(), *window.current[schema.USER_ID].to_pylist()}
    assert window.share == pytest.approx(0.5, abs=0.01)
    assert window.reference.num_rows + window.current.num_rows == sum(
        user in read for user in everything[schema.USER_ID].to_pylist()
    )
    whole = read_window(platform, extra=None, days=1, history_days=400, rows=10**6)
    assert whole.share == 1.0
    assert whole.reference.num_rows + whole.current.num_rows == everything.num_rows
    assert pc.min(whole.current[schema.TIMESTAMP]).as_py() >= whole.as_of - timedelta(days=1)


def test_events_are_the_same_in_the_same_order_when_they_are_read_in_parts(platform: Platform) -> None:  # noqa: F811
    def read(rows_at_once: int) -> pa.Table:
        window = read_window(platform, extra=None, days=1, history_days=400, rows=10**6, rows_at_once=rows_at_once)
        return pa.concat_tables([window.reference, window.current])

    whole, parts = read(10**6), read(1)  # every day is a part of its own
    assert parts.equals(whole)
    everything = platform.lake.read("interactions")
    assert whole.equals(everything.select(whole.column_names))
    assert set(everything.column_names) - set(whole.column_names) == {schema.EVENT_ID, schema.ORIGIN}


def test_replayed_events_stand_in_order_when_they_follow(platform: Platform, tmp_path: Path) -> None:  # noqa: F811
    everything = platform.lake.read("interactions")
    pq.write_table(everything.slice(0, 5), tmp_path / "extra.parquet")
    window = read_window(platform, extra=tmp_path / "extra.parquet", days=1, history_days=400, rows=10**6)
    times = pa.concat_tables([window.reference, window.current])[schema.TIMESTAMP].to_pylist()
    assert len(times) == everything.num_rows + 5
    assert times == sorted(times)


def test_answers_are_in_order_when_some_of_the_waiting_are_older_than_some_that_moved(platform: Platform) -> None:  # noqa: F811
    _ask(platform, 1)
    collect()
    _ask(platform, 2, age=MATURITY * 3)
    _ask(platform, 3, age=MATURITY)
    _ask(platform, 4, arm=Arm.CANARY, age=MATURITY)
    served = read_served(platform, now=datetime.now(UTC), history_days=30, rows=10**6)
    ids = served.impressions[schema.REQUEST_ID].to_pylist()
    assert list(dict.fromkeys(ids)) == ["q2", "q1", "q3"]  # what a canary showed is judged elsewhere
    assert len(ids) == 9


def test_answers_are_read_from_the_lake_and_from_what_waits_to_move_there(platform: Platform) -> None:  # noqa: F811
    old, young = _ask(platform, 1), _ask(platform, 2, age=MATURITY / 2)
    _click(platform, old, SHOWN[0])
    _click(platform, young, SHOWN[1])
    collect()
    now = datetime.now(UTC)
    served = read_served(platform, now=now, history_days=30, rows=10**6)
    assert set(served.impressions[schema.REQUEST_ID].to_pylist()) == {"q1", "q2"}
    assert served.outcomes.num_rows == 2
    results = check_served(served, ServedConfig())
    assert {one.status for one in results} <= {Status.LEARNING, Status.INSUFFICIENT}
    assert "fallback_share" in {one.figure for one in results}


def test_labelled_rows_are_counted_from_the_day_on(platform: Platform) -> None:  # noqa: F811
    times = platform.lake.read("interactions")[schema.TIMESTAMP]
    last = pc.max(times).as_py()
    assert rows_since(platform.lake, last + timedelta(days=1), extra=None) == 0
    expected = sum(moment.date() == last.date() for moment in times.to_pylist())
    assert rows_since(platform.lake, last, extra=None) == expected
