import pyarrow.compute as pc
import pytest

from recmodels.data import faults
from recmodels.data.schema import INTERACTIONS
from recmodels.errors import DataError
from tests.monitoring.drift.tables import events, item_table

TABLE = events(days=2, rows=500)

FAULTS = {
    "scale": lambda seed: faults.scale_column(TABLE, "watch_seconds", factor=1000.0),
    "nulls": lambda seed: faults.raise_nulls(TABLE, "clicked", share=0.2, seed=seed),
    "item": lambda seed: faults.push_item(TABLE, "i9", share=0.2, seed=seed),
    "creator": lambda seed: faults.push_creator(TABLE, item_table(), "c1", share=0.2, seed=seed),
    "surface": lambda seed: faults.drop_surface(TABLE, "live"),
    "rows": lambda seed: faults.drop_rows(TABLE, share=0.2, seed=seed),
    "bots": lambda seed: faults.add_bots(TABLE, users_share=0.1, events_each=7, items=3, seed=seed),
}


@pytest.mark.parametrize("name", FAULTS)
def test_schema_and_source_stay_when_a_fault_is_put_in(name):
    before = events(days=2, rows=500)
    assert FAULTS[name](0).schema.equals(INTERACTIONS)
    assert TABLE.equals(before)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_the_same_when_the_seed_is(name):
    assert FAULTS[name](3).equals(FAULTS[name](3))


@pytest.mark.parametrize("name", ["nulls", "item", "creator", "rows", "bots"])
def test_fault_differs_when_the_seed_does(name):
    assert not FAULTS[name](3).equals(FAULTS[name](4))


def test_column_is_multiplied_when_its_unit_changes():
    assert pc.all(pc.equal(FAULTS["scale"](0)["watch_seconds"], pc.multiply(TABLE["watch_seconds"], 1000.0))).as_py()


def test_share_of_rows_is_hit_when_nulls_are_raised():
    assert FAULTS["nulls"](0)["clicked"].null_count == pytest.approx(200, abs=50)
    assert faults.raise_nulls(TABLE, "clicked", share=1.0, seed=0)["clicked"].null_count == 1000
    assert faults.raise_nulls(TABLE, "clicked", share=0.0, seed=0).equals(TABLE)


def test_share_of_events_moves_when_an_item_is_pushed():
    moved = pc.sum(pc.not_equal(FAULTS["item"](0)["item_id"], TABLE["item_id"])).as_py()
    assert moved == pytest.approx(200, abs=50)
    assert pc.all(pc.equal(faults.push_item(TABLE, "i9", share=1.0, seed=0)["item_id"], "i9")).as_py()


def test_events_spread_over_the_creators_items_when_it_is_pushed():
    pushed = faults.push_creator(TABLE, item_table(), "c1", share=1.0, seed=0)
    assert set(pushed["item_id"].to_pylist()) == {f"i{n}" for n in range(1, 60, 6)}


def test_no_row_of_a_surface_is_left_when_it_vanishes():
    left = FAULTS["surface"](0)
    assert set(left["surface"].to_pylist()) == {"video"}
    assert left.num_rows == pc.sum(pc.equal(TABLE["surface"], "video")).as_py()


def test_bots_share_few_items_and_have_their_own_events():
    table = FAULTS["bots"](0)
    bots = table.filter(pc.starts_with(table["user_id"], "bot-"))
    assert bots.num_rows == 4 * 7
    assert pc.count_distinct(bots["user_id"]).as_py() == 4
    assert pc.count_distinct(bots["item_id"]).as_py() <= 3
    assert pc.count_distinct(table["event_id"]).as_py() == table.num_rows
    assert table.slice(0, TABLE.num_rows).equals(TABLE)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: faults.scale_column(TABLE, "colour", factor=2.0), "no column 'colour'"),
        (lambda: faults.scale_column(TABLE, "surface", factor=2.0), "Numeric columns: watch_seconds"),
        (lambda: faults.raise_nulls(TABLE, "user_id", share=0.1, seed=0), "required by the contract"),
        (lambda: faults.push_creator(TABLE, item_table(), "c99", share=0.1, seed=0), "creator 'c99' has no item"),
        (lambda: faults.drop_surface(TABLE, "radio"), "Known surfaces: live, video"),
    ],
)
def test_fault_is_refused_when_it_does_not_fit_the_table(fault, words):
    with pytest.raises(DataError, match=words):
        fault()


def test_share_is_refused_when_it_is_no_part():
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        faults.drop_rows(TABLE, share=1.5, seed=0)


def test_feedback_is_false_when_it_comes_after_the_end_of_the_day():
    late = faults.delay_labels(TABLE, seconds=6 * 3600)
    is_late = pc.greater_equal(pc.hour(TABLE["timestamp"]), 18)
    assert not pc.any(late["clicked"].filter(is_late)).as_py()
    assert late.filter(pc.invert(is_late)) == TABLE.filter(pc.invert(is_late))
    assert late.drop_columns(["clicked"]) == TABLE.drop_columns(["clicked"])
