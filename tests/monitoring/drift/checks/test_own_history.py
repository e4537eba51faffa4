from datetime import date, timedelta

import pyarrow as pa
import pytest

from monitoring.drift.checks.own_history import Config, check, joined
from monitoring.result import Status
from recmodels.data import faults
from tests.monitoring.drift.tables import events, item_table

REFERENCE = events(days=70)
CURRENT = events(days=3, seed=1, start_day=20_070)


def drifted(current: pa.Table) -> set[str]:
    results = check(REFERENCE, current, items=item_table(), config=Config())
    return {result.figure for result in results if result.status is Status.DRIFT}


@pytest.mark.parametrize(
    ("fault", "figure"),
    [
        (lambda table: faults.scale_column(table, "watch_seconds", factor=1000.0), "watch_seconds_mean"),
        (lambda table: faults.scale_column(table, "watch_seconds", factor=1000.0), "watch_seconds_p50"),
        (lambda table: faults.raise_nulls(table, "watch_seconds", share=0.1, seed=0), "watch_seconds_null_share"),
        (lambda table: faults.raise_nulls(table, "watch_seconds", share=1.0, seed=0), "watch_seconds_null_share"),
        (lambda table: faults.drop_surface(table, "live"), "surface_share"),
        (lambda table: faults.push_item(table, "i50", share=0.3, seed=0), "item_concentration"),
        (lambda table: faults.push_creator(table, item_table(), "c5", share=0.5, seed=0), "creator_concentration"),
        (lambda table: faults.drop_rows(table, share=0.9, seed=0), "volume"),
        (
            lambda table: faults.add_bots(table, users_share=0.05, events_each=150, items=3, seed=0),
            "user_concentration",
        ),
    ],
)
def test_fault_moves_its_figure(fault, figure):
    assert figure in drifted(fault(CURRENT))


def test_column_is_left_out_when_it_cannot_be_of_the_old_type():
    text = CURRENT.set_column(6, "watch_seconds", pa.array(["much"] * CURRENT.num_rows))
    table = joined(REFERENCE, text)
    assert "watch_seconds" not in table.column_names
    assert table.num_rows == REFERENCE.num_rows + CURRENT.num_rows


def test_column_is_cast_when_it_can_be_of_the_old_type():
    finer = CURRENT.set_column(3, "timestamp", CURRENT["timestamp"].cast(pa.timestamp("ns", tz="UTC")))
    assert joined(REFERENCE, finer).to_pydict() == pa.concat_tables([REFERENCE, CURRENT]).to_pydict()


def test_missing_column_is_null_when_it_may_be():
    table = joined(REFERENCE, CURRENT.drop_columns(["clicked"]))
    assert table["clicked"].null_count == CURRENT.num_rows


def test_answer_names_the_column_when_a_required_one_is_missing():
    results = check(REFERENCE, CURRENT.drop_columns(["item_id"]), items=item_table(), config=Config())
    assert [result.status for result in results] == [Status.INSUFFICIENT]
    assert "item_id" in results[0].message


def test_a_window_is_insufficient_when_it_is_empty():
    (result,) = check(REFERENCE, CURRENT.slice(0, 0), items=item_table(), config=Config())
    assert result.status is Status.INSUFFICIENT
    assert "no rows" in result.message


def test_a_figure_is_insufficient_when_every_value_of_the_day_is_null():
    blank = faults.raise_nulls(CURRENT, "watch_seconds", share=1.0, seed=0)
    results = {one.figure: one for one in check(REFERENCE, blank, items=item_table(), config=Config()) if not one.slice}
    assert results["watch_seconds_mean"].status is Status.INSUFFICIENT
    assert "no row of the day has a value" in results["watch_seconds_mean"].message


def test_a_window_is_insufficient_when_its_times_are_of_another_type():
    place = CURRENT.column_names.index("timestamp")
    text = CURRENT.set_column(place, "timestamp", pa.array(["long ago"] * CURRENT.num_rows))
    (result,) = check(REFERENCE, text, items=item_table(), config=Config())
    assert result.status is Status.INSUFFICIENT
    assert "timestamp" in result.message


def test_a_window_is_insufficient_when_the_reference_is_of_another_schema():
    other = pa.table({"price": [1.0, 2.0]})
    results = check(other, CURRENT, items=item_table(), config=Config())
    assert [one.status for one in results] == [Status.INSUFFICIENT]
    assert "user_id" in results[0].message


def test_what_is_consumed_learns_anew_when_another_model_began_to_serve():
    pushed = faults.push_item(CURRENT, "i50", share=0.3, seed=0)
    day = date(1970, 1, 1) + timedelta(days=20_070)
    results = check(REFERENCE, pushed, items=item_table(), config=Config(champion_days=(day,)))
    status = {one.figure: one.status for one in results if not one.slice}
    assert status["item_concentration"] is status["clicked_rate"] is Status.LEARNING
    assert status["volume"] is Status.OK
    fewer = faults.drop_rows(pushed, share=0.9, seed=0)
    results = check(REFERENCE, fewer, items=item_table(), config=Config(champion_days=(day,)))
    assert {one.figure: one.status for one in results}["volume"] is Status.DRIFT


def test_model_of_before_the_first_event_changes_nothing():
    config = Config(champion_days=(date(1970, 1, 1),))
    usual = check(REFERENCE, CURRENT, items=item_table(), config=Config())
    assert check(REFERENCE, CURRENT, items=item_table(), config=config) == usual
