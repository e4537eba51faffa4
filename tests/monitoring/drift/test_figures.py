import numpy as np
import pyarrow as pa
import pytest

from monitoring.drift.figures import FiguresConfig, daily_figures
from recmodels.errors import DataError
from tests.monitoring.drift.tables import MICROSECONDS_A_DAY, events, interactions, item_table

DAY = 20_000
# day 0: 4 events of a, a, b, c;  day 1: nothing;  day 2: 4 events of a, b, b, d
ROWS = interactions(
    user_id=["a", "a", "b", "c", "a", "b", "b", "d"],
    item_id=["i0", "i1", "i0", "i2", "i0", "i0", "i3", "i9"],
    timestamp=[(DAY + d) * MICROSECONDS_A_DAY + 1 for d in (0, 0, 0, 0, 2, 2, 2, 2)],
    surface=["video", "live", "video", "video", "video", "live", "live", "live"],
    rating=[5, 3, None, 4, 1, 2, 3, None],
    clicked=[True, False, None, True, False, False, True, None],
)
CONFIG = FiguresConfig(window_days=1, minimum_surface_share=0.0)


@pytest.fixture(scope="module")
def figures():
    return daily_figures(ROWS, item_table(4), config=CONFIG)


def value(figures, key):
    return figures.values[key].tolist()


def test_days_are_all_calendar_days_when_some_have_no_rows(figures):
    assert figures.days.tolist() == np.arange(DAY, DAY + 3).astype("datetime64[D]").tolist()
    assert figures.rows.tolist() == [4, 0, 4]
    assert figures.users.tolist() == [3, 0, 3]
    assert figures.effective_users.tolist() == pytest.approx([16 / 6, 0, 16 / 6])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("volume", [4, 0, 4]),
        ("users", [3, 0, 3]),
        ("new_users_share", [np.nan, np.nan, 1 / 3]),
        ("surface_share[surface=video]", [3 / 4, np.nan, 1 / 4]),
        ("surface_share[surface=live]", [1 / 4, np.nan, 3 / 4]),
        ("rating_null_share", [1 / 4, np.nan, 1 / 4]),
        ("rating_mean", [4, np.nan, 2]),
        ("rating_deviation", [np.sqrt(2 / 3), np.nan, np.sqrt(2 / 3)]),
        ("clicked_rate", [2 / 3, np.nan, 1 / 3]),
        ("rating_mean[surface=live]", [3, np.nan, 5 / 2]),
        ("clicked_rate[surface=video]", [1, np.nan, 0]),
        ("new_items_share", [np.nan, np.nan, 2 / 4]),  # i3 and i9 were not seen before
        ("item_concentration", [(2 + 1) / 12, np.nan, (2 + 1) / 12]),  # i0 twice: 2 ordered pairs of 12, one more added
        ("creator_concentration", [3 / 12, np.nan, 3 / 12]),
        ("user_concentration", [3 / 12, np.nan, 3 / 12]),
        ("category_share[category=k0]", [2 / 4, np.nan, 3 / 4]),  # i0 and i3
        ("category_share[category=k1]", [1 / 4, np.nan, 0]),
    ],
)
def test_figure_is_the_hand_worked_one(figures, key, expected):
    assert value(figures, key) == pytest.approx(expected, nan_ok=True)


def test_head_is_of_the_days_before_when_popularity_moves():
    items = ["i0"] * 6 + ["i1"] * 2 + ["i2"] * 2 + ["i0"] * 2 + ["i1"] * 7 + ["i2"] * 1
    table = interactions(
        user_id=[f"u{n}" for n in range(20)],
        item_id=items,
        timestamp=[(DAY + n // 10) * MICROSECONDS_A_DAY for n in range(20)],
    )
    figures = daily_figures(table, item_table(3), config=CONFIG)
    assert value(figures, "head_share") == pytest.approx([np.nan, 0.2], nan_ok=True)
    assert value(figures, "top_items_share") == pytest.approx([np.nan, 0.2], nan_ok=True)


def test_old_days_leave_the_popularity_window_when_it_has_passed():
    table = interactions(
        user_id=[f"u{n}" for n in range(30)],
        item_id=["i0"] * 10 + ["i1"] * 10 + ["i1"] * 10,
        timestamp=[(DAY + n // 10) * MICROSECONDS_A_DAY for n in range(30)],
    )
    figures = daily_figures(table, item_table(3), config=CONFIG)
    assert value(figures, "head_share")[1:] == [0, 1]


def test_quantiles_are_those_of_the_sorted_day():
    table = interactions(
        user_id=["a"] * 13,
        item_id=["i0"] * 13,
        timestamp=[DAY * MICROSECONDS_A_DAY] * 11 + [(DAY + 1) * MICROSECONDS_A_DAY] * 2,
        watch_seconds=[*range(11, 0, -1), 7, None],
    )
    figures = daily_figures(table, item_table(1), config=CONFIG)
    assert value(figures, "watch_seconds_p10") == [2, 7]
    assert value(figures, "watch_seconds_p50") == [6, 7]
    assert value(figures, "watch_seconds_p90") == [10, 7]
    assert value(figures, "watch_seconds_mean") == [6, 7]


def test_figures_are_the_same_when_rows_come_in_another_order():
    table = events(days=6)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    one, other = (daily_figures(each, item_table(), config=FiguresConfig(window_days=3)) for each in (table, shuffled))
    assert one.series.keys() == other.series.keys()
    for key, values in one.values.items():
        assert values == pytest.approx(other.values[key], nan_ok=True), key


def test_columns_that_the_data_set_lacks_give_no_figure():
    table = events(days=2).select(["event_id", "user_id", "item_id", "timestamp", "surface", "origin"])
    keys = daily_figures(table, item_table().select(["item_id", "safety"])).series.keys()
    assert not any("rating" in key or "clicked" in key or "category" in key or "creator" in key for key in keys)


def test_concentration_does_not_move_when_only_the_volume_does():
    rng = np.random.default_rng(0)
    sizes = [200, 5000] * 20
    day = np.repeat(np.arange(40), sizes)
    table = interactions(
        user_id=["u"] * len(day),
        item_id=[f"i{n}" for n in rng.choice(50, size=len(day), p=np.arange(1, 51) / 1275)],
        timestamp=((DAY + day) * MICROSECONDS_A_DAY).tolist(),
    )
    found = daily_figures(table, item_table(50)).values["item_concentration"]
    truth = float((np.arange(1, 51) / 1275) @ (np.arange(1, 51) / 1275))
    assert found[0::2].mean() == pytest.approx(truth, rel=0.03)
    assert found[1::2].mean() == pytest.approx(truth, rel=0.03)


def test_error_says_what_to_do_when_there_are_no_rows():
    with pytest.raises(DataError, match=r"at least one row.*Choose a window"):
        daily_figures(events(days=1).slice(0, 0), item_table())


def test_error_names_the_column_when_a_required_one_is_missing():
    with pytest.raises(DataError, match="lacks item_id"):
        daily_figures(events(days=1).drop_columns(["item_id"]), item_table())
