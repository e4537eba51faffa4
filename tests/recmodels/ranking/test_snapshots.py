import numpy as np
import pyarrow as pa

from recmodels.ranking.snapshots import DailyCounts, Snapshots, count_names

NAMES = count_names(["clicked"])
EXPOSURES = pa.table(
    {
        "clicked": pa.array([True, False, None, True, True, False, None]),
        "watch_seconds": pa.array([1.5, None, -3.0, 2.0, float("nan"), 0.25, 1e300]),
    }
)
KEYS = np.array([7, 7, 7, 7, 2, -1, 2], dtype=np.int32)
DAYS = np.array([100, 100, 103, 110, 103, 100, 103], dtype=np.int32)


def counted(key, day):
    daily = DailyCounts.of(EXPOSURES, keys=KEYS, days=DAYS, outcomes=["clicked"])
    found = daily.before(np.array([key], dtype=np.int32), np.array([day], dtype=np.int32)).of(slice(None))
    return {window: row.tolist() for window, row in zip(("1d", "7d", "all"), found[0], strict=True)}


def test_the_names_of_counts_are_pairs_of_came_and_known():
    assert NAMES == ("exposures", "clicked", "clicked_known", "watch_milliseconds", "watch_known")


def test_a_day_is_not_seen_before_it_is_over_when_it_is_counted():
    nothing = [0] * 5
    assert counted(7, 100) == {"1d": nothing, "7d": nothing, "all": nothing}
    assert counted(7, 101) == {name: [2, 1, 2, 1500, 1] for name in ("1d", "7d", "all")}


def test_windows_hold_whole_days_when_a_key_was_not_shown_on_each():
    assert counted(7, 104) == {"1d": [1, 0, 0, 0, 0], "7d": [3, 1, 2, 1500, 1], "all": [3, 1, 2, 1500, 1]}
    assert counted(7, 107)["7d"] == [3, 1, 2, 1500, 1]
    assert counted(7, 108) == {"1d": [0] * 5, "7d": [1, 0, 0, 0, 0], "all": [3, 1, 2, 1500, 1]}
    assert counted(7, 999) == {"1d": [0] * 5, "7d": [0] * 5, "all": [4, 2, 3, 3500, 2]}


def test_watch_times_that_are_no_times_are_not_known_when_they_are_summed():
    assert counted(2, 104)["all"] == [2, 1, 1, 0, 0]


def test_what_was_never_shown_or_has_no_key_has_no_counts():
    assert counted(5, 200)["all"] == counted(-1, 200)["all"] == [0] * 5


def test_counts_are_those_of_a_loop_when_many_keys_and_days_are_asked_for():
    rng = np.random.default_rng(0)
    size = 400
    keys, days = rng.integers(0, 12, size).astype(np.int32), rng.integers(0, 20, size).astype(np.int32)
    clicked = rng.random(size) < 0.4
    table = pa.table({"clicked": clicked, "watch_seconds": rng.integers(0, 9, size).astype(float)})
    daily = DailyCounts.of(table, keys=keys, days=days, outcomes=["clicked"])
    asked = rng.integers(0, 15, 90).astype(np.int32), rng.integers(-2, 25, 90).astype(np.int32)
    found = daily.before(*asked).of(slice(None))
    for row, (key, day) in enumerate(zip(*asked, strict=True)):
        for window, length in enumerate((1, 7, 10_000)):
            rows = (keys == key) & (days < day) & (days >= day - length)
            watched = int(table["watch_seconds"].to_numpy()[rows].sum() * 1000)
            assert found[row, window].tolist() == [rows.sum(), clicked[rows].sum(), rows.sum(), watched, rows.sum()]


def test_a_snapshot_holds_every_key_when_it_is_published():
    daily = DailyCounts.of(EXPOSURES, keys=KEYS, days=DAYS, outcomes=["clicked"])
    snapshot = Snapshots({"item": daily}, {"item": 9}).at(104)
    assert snapshot.counts["item"].shape == (9, 3, 5)
    assert snapshot.counts["item"][:, 2, 0].tolist() == [0, 0, 2, 0, 0, 0, 0, 3, 0]
