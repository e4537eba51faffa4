"""What every drift check must do: nothing on data as before, drift on a fault it is made for, a state for no data."""

from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from monitoring.drift import CHECKS
from monitoring.drift.suite import config_of, run_checks
from monitoring.result import Status
from recmodels.data import faults, shilling
from recmodels.errors import RecipeError, UnknownNameError
from tests.monitoring.drift.tables import events, item_table

REFERENCE = events(days=70)
CURRENT = events(days=2, seed=1, start_day=20_070)
ATTACK = shilling.Attack("random", "i50", datetime(2024, 12, 13, tzinfo=UTC), user_share=0.2)
FAMILIES = {"data", "population", "catalogue", "model", "serving"}

SHIFTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "unit": lambda table: faults.scale_column(table, "watch_seconds", factor=1000.0),
    "surface": lambda table: faults.drop_surface(table, "live"),
    "fake users": lambda table: shilling.inject(table, item_table(), ATTACK, seed=1),
    "push": lambda table: faults.push_item(table, "i50", share=0.3, seed=1),
    "type": lambda table: table.set_column(3, "timestamp", table["timestamp"].cast(pa.timestamp("ns", tz="UTC"))),
}

DAMAGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a number became text": lambda table: retyped(table, "watch_seconds", pa.array(["a lot"] * table.num_rows)),
    "the time became text": lambda table: retyped(table, "timestamp", pa.array(["today"] * table.num_rows)),
    "a required column is gone": lambda table: table.drop_columns(["item_id"]),
    "a column is gone": lambda table: table.drop_columns(["clicked"]),
    "a column is all null": lambda table: faults.raise_nulls(table, "watch_seconds", share=1.0, seed=0),
    "one row is left": lambda table: table.slice(0, 1),
}


def retyped(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


def check(name: str, current: pa.Table, reference: pa.Table = REFERENCE):
    return CHECKS.get(name)(reference, current, items=item_table(), config=config_of(name, {}))


@pytest.fixture(params=CHECKS.names())
def name(request) -> str:
    return request.param


def test_nothing_drifts_when_the_data_are_as_before(name):
    results = check(name, CURRENT)
    assert not any(result.status is Status.DRIFT for result in results)
    assert any(result.status is Status.OK for result in results)


def test_some_shift_is_found_and_explained(name):
    found = [r for shift in SHIFTS.values() for r in check(name, shift(CURRENT)) if r.status is Status.DRIFT]
    assert found
    for result in found:
        assert result.family in FAMILIES
        assert "Likely cause: " in result.message
        assert "Proposed: " in result.message


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_check_answers_when_the_window_is_damaged(name, damage):
    results = check(name, DAMAGES[damage](CURRENT))
    assert results
    assert all(result.message for result in results)


def test_results_are_the_same_when_run_again(name):
    assert repr(check(name, CURRENT)) == repr(check(name, CURRENT))


def test_nothing_drifts_when_the_window_is_empty(name):
    results = check(name, CURRENT.slice(0, 0))
    assert results
    assert not any(result.status is Status.DRIFT for result in results)


def test_option_is_refused_when_it_is_unknown(name):
    with pytest.raises(RecipeError, match=rf"drift check '{name}', option 'colour'.*Known options"):
        config_of(name, {"colour": "red"})


def test_every_shift_is_found_when_all_checks_run():
    for words, shift in SHIFTS.items():
        results = run_checks(REFERENCE, shift(CURRENT), items=item_table())
        assert any(result.status is Status.DRIFT for result in results), words


def test_options_reach_their_check_when_given():
    results = run_checks(REFERENCE, CURRENT, items=item_table(), options={"own_history": {"learning_days": 100}})
    statuses = {result.status for result in results if result.figure not in ("schema", "suspect_accounts")}
    assert Status.LEARNING in statuses
    assert Status.OK not in statuses


def test_unknown_check_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: own_history, schema"):
        run_checks(REFERENCE, CURRENT, items=item_table(), options={"histroy": {}})
