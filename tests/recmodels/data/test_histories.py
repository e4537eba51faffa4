from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmodels.data.histories import Histories
from recmodels.errors import DataError

ROWS = st.lists(st.lists(st.integers(2, 50), max_size=6), max_size=8)


def test_rows_are_the_lists_given() -> None:
    histories = Histories.from_lists([[5, 6], [], [7]])
    assert [histories.row(b).tolist() for b in range(3)] == [[5, 6], [], [7]]
    assert histories.lengths.tolist() == [2, 0, 1]
    assert len(histories) == 3


def test_positions_count_as_seconds_when_no_timestamps_are_given() -> None:
    assert Histories.from_lists([[5, 6], [7]]).timestamps.tolist() == [0, 1_000_000, 0]


def test_timestamps_are_kept_when_given() -> None:
    assert Histories.from_lists([[5, 6], [7]], [[3, 4], [9]]).timestamps.tolist() == [3, 4, 9]


def test_from_lists_is_refused_when_timestamps_have_other_lengths() -> None:
    with pytest.raises(DataError, match="one timestamp an item"):
        Histories.from_lists([[5, 6], [7]], [[3], [4, 9]])


def test_last_keeps_the_newest_and_copies_nothing() -> None:
    histories = Histories.from_lists([[2, 3, 4], [5]])
    short = histories.last(2)
    assert [short.row(b).tolist() for b in range(2)] == [[3, 4], [5]]
    assert short.items is histories.items


def test_last_of_zero_leaves_empty_rows() -> None:
    assert Histories.from_lists([[2, 3], [5]]).last(0).lengths.tolist() == [0, 0]


def test_take_gives_rows_in_the_order_asked_for_and_copies_nothing() -> None:
    histories = Histories.from_lists([[2, 3], [4], [5]])
    taken = histories.take(np.array([2, 0, 2]))
    assert [taken.row(b).tolist() for b in range(3)] == [[5], [2, 3], [5]]
    assert taken.items is histories.items


def test_compact_holds_nothing_but_its_rows() -> None:
    compact = Histories.from_lists([[2, 3], [4], [5, 6]]).take(np.array([2])).compact()
    assert compact.items.tolist() == [5, 6]
    assert compact.timestamps.tolist() == [0, 1_000_000]
    assert (compact.starts.tolist(), compact.ends.tolist()) == ([0], [2])


def test_flat_names_the_row_of_every_event_when_rows_overlap() -> None:
    rows, items = Histories(
        np.array([7, 8, 9], dtype=np.int32), np.arange(3), np.array([1, 0, 2]), np.array([3, 2, 2])
    ).flat()
    assert rows.tolist() == [0, 0, 1, 1]
    assert items.tolist() == [8, 9, 7, 8]


def test_no_rows_are_possible() -> None:
    empty = Histories.from_lists([])
    assert len(empty) == 0
    assert empty.flat().items.tolist() == []
    assert len(empty.compact()) == 0


@pytest.mark.parametrize(("starts", "ends"), [([-1], [1]), ([0], [4]), ([2], [1])])
def test_rows_outside_the_arrays_are_a_bug(starts: list[int], ends: list[int]) -> None:
    with pytest.raises(AssertionError):
        Histories(np.zeros(3, np.int32), np.zeros(3, np.int64), np.array(starts), np.array(ends))


@given(ROWS, st.integers(0, 7))
def test_flat_and_compact_agree_with_the_rows(rows: list[list[int]], length: int) -> None:
    view = Histories.from_lists(rows).last(length)
    expected = [row[max(0, len(row) - length) :] for row in rows]
    for histories in (view, view.compact()):
        assert [histories.row(b).tolist() for b in range(len(histories))] == expected
        numbers, items = histories.flat()
        assert list(zip(numbers.tolist(), items.tolist(), strict=True)) == [
            (b, item) for b, row in enumerate(expected) for item in row
        ]


@pytest.mark.parametrize("mmap", [True, False])
def test_loaded_histories_equal_the_saved_ones(tmp_path: Path, mmap: bool) -> None:
    histories = Histories.from_lists([[2, 3], [], [4]], [[1, 2], [], [9]])
    histories.save(tmp_path / "histories")
    loaded = Histories.load(tmp_path / "histories", mmap=mmap)
    assert isinstance(loaded.items, np.memmap) == mmap
    for name in ("items", "timestamps", "starts", "ends"):
        assert np.array_equal(getattr(loaded, name), getattr(histories, name))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what of a file is in memory")
def test_released_histories_leave_memory_and_read_as_before(tmp_path: Path) -> None:
    ends = np.array([1_000_000])
    Histories(np.ones(1_000_000, np.int32), np.arange(1_000_000), ends - 1_000_000, ends).save(tmp_path)
    loaded = Histories.load(tmp_path)
    total = loaded.timestamps.sum()
    assert resident_bytes(tmp_path / "timestamps.npy") > 4_000_000
    loaded.release()
    assert resident_bytes(tmp_path / "timestamps.npy") == 0
    assert loaded.timestamps.sum() == total


def resident_bytes(file: Path) -> int:
    """Return how much of a mapped file is in this process's memory."""
    mapped = Path("/proc/self/smaps").read_text().partition(f"{file}\n")[2]
    return int(mapped.partition("Rss:")[2].split()[0]) * 1024


def test_load_names_the_file_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.npy is missing or damaged"):
        Histories.load(tmp_path)


def test_load_names_the_file_when_it_is_truncated(tmp_path: Path) -> None:
    Histories.from_lists([[2, 3]]).save(tmp_path)
    (tmp_path / "ends.npy").write_bytes((tmp_path / "ends.npy").read_bytes()[:90])
    with pytest.raises(DataError, match=r"ends\.npy is missing or damaged"):
        Histories.load(tmp_path)
