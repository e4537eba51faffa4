import numpy as np

from recmodels.data.caps import clip_files, clip_repeats, latest
from recmodels.data.histories import Histories
from recmodels.data.splits import split_interactions
from recmodels.recipe import DataConfig, SplitConfig
from tests.recmodels.data.tables import interactions, items_of


def test_the_latest_events_are_kept_when_a_row_repeats_an_item():
    histories = Histories.from_lists([[5, 2, 5, 5, 3], [5, 5], []], [[1, 2, 3, 4, 5], [6, 7], []])
    clipped = clip_repeats(histories, maximum=2)
    assert [clipped.row(b).tolist() for b in range(3)] == [[2, 5, 5, 3], [5, 5], []]
    assert clipped.timestamps.tolist() == [2, 3, 4, 5, 6, 7]
    assert latest(np.array([0, 0, 1]), np.array([4, 4, 4], np.int32), maximum=1).tolist() == [False, True, True]


def test_nothing_is_copied_when_nobody_repeats_more_than_allowed():
    histories = Histories.from_lists([[2, 3, 2]])
    assert clip_repeats(histories, maximum=2) is histories


def test_files_are_clipped_like_arrays_when_users_lie_in_parts(tmp_path):
    rng = np.random.default_rng(0)
    lengths = np.array([9, 0, 12, 3, 7])
    items = rng.integers(2, 5, size=lengths.sum()).astype(np.int32)
    stamps = np.arange(len(items))
    ends = np.cumsum(lengths)
    expected = clip_repeats(Histories(items, stamps, ends - lengths, ends), maximum=2)
    np.save(tmp_path / "items.npy", items)
    np.save(tmp_path / "timestamps.npy", stamps)
    found = clip_files(tmp_path, lengths, np.array([0, 2, 2, 5]), maximum=2)
    assert found.tolist() == expected.lengths.tolist()
    assert np.load(tmp_path / "items.npy").tolist() == expected.items.tolist()
    assert np.load(tmp_path / "timestamps.npy").tolist() == expected.timestamps.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.npy", "timestamps.npy"]


def test_training_is_capped_and_what_is_asked_is_not_when_one_user_repeats_an_item():
    rows = [("fan", "a", n) for n in range(6)] + [("ann", "a", 1), ("ann", "b", 2), ("fan", "b", 8), ("ann", "a", 9)]
    rows += [("fan", "a", 11), ("ann", "b", 12)]
    table = interactions(rows)
    times = SplitConfig(validation_from="1970-01-01T00:00:07Z", test_from="1970-01-01T00:00:10Z")
    split = split_interactions(table, items_of(table), data=DataConfig(maximum_repeats=2), split=times)
    assert split.item_counts.tolist() == [0, 0, 3, 1]
    assert len(split.train.row(split.train_user_ids.tolist().index("fan"))) == 2
    asked = split.test.histories.take(np.flatnonzero(split.test.user_ids == "fan"))
    assert asked.lengths.tolist() == [7], "six times a, then b"
