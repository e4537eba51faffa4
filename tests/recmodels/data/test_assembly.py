from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmodels.data.assembly import Assembled, assemble
from recmodels.data.batches import pad
from recmodels.data.histories import Histories
from recmodels.data.interactions import normalise
from recmodels.data.scan import ScanLimits
from recmodels.data.splits import TrainPart, refit_histories
from recmodels.errors import DataError, SplitError
from recmodels.recipe import DataConfig
from tests.recmodels.data.tables import interactions, items_of

ROWS = [("b", "x", 5), ("a", "y", 1), ("a", "x", 4), ("b", "z", 4), ("a", "x", 1), ("c", "y", 9)]


def write(table: pa.Table, folder: Path, *, files: int = 1) -> list[str]:
    """Cut a table into so many files, in its order."""
    paths = [folder / f"part-{number}.parquet" for number in range(files)]
    step = -(-table.num_rows // files)
    for number, path in enumerate(paths):
        pq.write_table(table.slice(number * step, step), path)
    return [str(path) for path in paths]


def by_user(histories: Histories, ids: Sequence[str]) -> dict[str, tuple[list[int], list[int]]]:
    spans = zip(ids, histories.starts.tolist(), histories.ends.tolist(), strict=True)
    return {
        user: (histories.items[start:end].tolist(), histories.timestamps[start:end].tolist())
        for user, start, end in spans
    }


def check_same(found: Assembled, expected: TrainPart) -> None:
    """The same catalogue, and for every user the same events in the same order."""
    assert found.vocabulary.ids.tolist() == expected.vocabulary.ids.tolist()
    assert found.item_counts.tolist() == expected.item_counts.tolist()
    theirs = by_user(expected.train, expected.train_user_ids.tolist())
    assert by_user(found.histories, found.user_ids().to_pylist()) == theirs
    assert found.until == round(expected.train_until.timestamp() * 1e6)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Few users, items and seconds, so that ties and repeated event ids are common; some ratings are null or NaN."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "ü", "", "long-user-id-0123456789"]),
                st.sampled_from(["x", "y", "z", "w'"]),
                st.integers(-3, 3),
            ),
            min_size=1,
            max_size=60,
        )
    )
    size = len(rows)
    column = {
        "event_id": st.integers(0, 20).map(str),
        "rating": st.sampled_from([None, float("nan"), 1.0, 3.0, 5.0]),
        "clicked": st.sampled_from([None, True, False]),
        "exposed_at": st.sampled_from([None, datetime(2026, 1, 1, tzinfo=UTC)]),
        "origin": st.sampled_from(["event", "event", "replay"]),
    }
    drawn = {name: draw(st.lists(values, min_size=size, max_size=size)) for name, values in column.items()}
    moments = pa.array(drawn.pop("exposed_at"), pa.timestamp("us", tz="UTC"))
    ratings = pa.array(drawn.pop("rating"), pa.float64(), from_pandas=False)
    clicked = pa.array(drawn.pop("clicked"), pa.bool_())
    return interactions(rows, exposed_at=moments, rating=ratings, clicked=clicked, **drawn)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=tables(),
    files=st.integers(1, 3),
    buckets=st.integers(1, 5),
    label=st.sampled_from(["any", "rating", "clicked"]),
    least=st.integers(1, 3),
)
def test_files_give_what_the_same_rows_give_in_memory(
    table: pa.Table, files: int, buckets: int, label: str, least: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("assembly")
    data = DataConfig(label=label, label_minimum=2.0, minimum_item_interactions=least)  # type: ignore[arg-type]
    paths = write(table, folder, files=files)
    try:
        expected = refit_histories(table, items_of(table), data=data)
    except (SplitError, DataError):
        with pytest.raises((SplitError, DataError)):
            assemble(paths, folder / "out", data=data, buckets=buckets)
        return
    check_same(assemble(paths, folder / "out", data=data, buckets=buckets), expected)


@pytest.fixture(scope="module")
def many() -> pa.Table:
    """More rows than one batch from DuckDB holds, a third of them tied."""
    rng = np.random.default_rng(7)
    size = 150_000
    table = pa.table(
        {
            "event_id": pa.array(rng.integers(0, 2**40, size)).cast(pa.string()),
            "user_id": pa.array(rng.integers(0, 3000, size)).cast(pa.string()),
            "item_id": pa.array(rng.zipf(1.3, size) % 5000).cast(pa.string()),
            "timestamp": pa.array(rng.integers(0, 200, size) * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
        }
    )
    return normalise(table, source="test")


def test_many_rows_in_several_batches_and_threads_give_the_same(many: pa.Table, tmp_path: Path) -> None:
    files = write(many.select(["event_id", "user_id", "item_id", "timestamp"]), tmp_path, files=3)
    found = assemble(files, tmp_path / "out", data=DataConfig(), buckets=7, limits=ScanLimits("300MB", threads=2))
    check_same(found, refit_histories(many, items_of(many), data=DataConfig()))
    again = assemble(files, tmp_path / "again", data=DataConfig(), buckets=7)
    names = sorted(path.name for path in found.folder.iterdir())
    assert names == sorted(path.name for path in again.folder.iterdir())
    for name in names:
        assert (found.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["again", "out"]


def test_few_ties_among_many_rows_are_settled_too(many: pa.Table, tmp_path: Path) -> None:
    """One row in fifty shares its moment with the next, so that only these are hashed."""
    numbers = np.arange(many.num_rows, dtype=np.int64)
    moments = numbers - (numbers % 100 == 1)
    users = pa.array(np.arange(many.num_rows) // 200).cast(pa.string())
    times = pa.array(moments).cast(pa.timestamp("us", tz="UTC"))
    table = normalise(
        pa.table({"event_id": many["event_id"], "user_id": users, "item_id": many["item_id"], "timestamp": times}),
        source="test",
    )
    found = assemble(write(table, tmp_path), tmp_path / "out", data=DataConfig())
    check_same(found, refit_histories(table, items_of(table), data=DataConfig()))


def test_times_too_wide_for_one_word_are_sorted_by_two_keys(tmp_path: Path) -> None:
    """Five years in microseconds and 2**20 users do not fit 64 bits; 292,000 years and two users neither."""
    table = interactions(
        [("a", "x", 9_000_000_000_000), ("b", "y", 0), ("a", "y", -9_000_000_000_000), ("a", "z", -5), ("a", "x", -5)]
    )
    found = assemble(write(table, tmp_path), tmp_path / "out", data=DataConfig(), buckets=1)
    rows = by_user(found.histories, found.user_ids().to_pylist())
    assert [moment // 1_000_000 for moment in rows["a"][1]] == [-9_000_000_000_000, -5, -5, 9_000_000_000_000]


def test_only_events_before_a_moment_are_known(tmp_path: Path) -> None:
    before = datetime.fromtimestamp(5, UTC)
    table = interactions(ROWS)
    found = assemble(write(table, tmp_path), tmp_path / "out", data=DataConfig(), before=before)
    earlier = table.filter(pa.array([second < 5 for _, _, second in ROWS]))
    check_same(found, refit_histories(earlier, items_of(earlier), data=DataConfig()))


def test_buckets_are_the_whole_in_parts(tmp_path: Path) -> None:
    found = assemble(write(interactions(ROWS), tmp_path), tmp_path / "out", data=DataConfig(), buckets=3)
    assert found.bucket_starts.shape == (4,)
    parts = [found.bucket(number) for number in range(3)]
    assert sum(len(part) for part in parts) == len(found.histories) == 3
    assert np.concatenate([part.ends for part in parts]).tolist() == found.histories.ends.tolist()


def test_a_batch_is_gathered_from_mapped_files_without_reading_them_whole(tmp_path: Path) -> None:
    found = assemble(write(interactions(ROWS), tmp_path), tmp_path / "out", data=DataConfig())
    taken = found.histories.take(np.array([2, 0]))
    assert isinstance(taken.items, np.memmap)
    assert np.shares_memory(taken.items, found.histories.items)
    batch = pad(taken, length=2)
    in_memory = Histories.load(found.folder, mmap=False)
    assert batch.tolist() == pad(in_memory.take(np.array([2, 0])), length=2).tolist()


def test_nothing_is_left_behind_when_an_assembly_fails(tmp_path: Path) -> None:
    files = write(interactions(ROWS), tmp_path)
    with pytest.raises(SplitError, match="no item has 9 positive training interactions; the most popular has 3"):
        assemble(files, tmp_path / "out", data=DataConfig(minimum_item_interactions=9))
    assert [path.name for path in tmp_path.iterdir()] == ["part-0.parquet"]


def test_an_assembly_is_replaced_and_a_torn_one_refused(tmp_path: Path) -> None:
    files = write(interactions(ROWS), tmp_path)
    assemble(files, tmp_path / "out", data=DataConfig())
    shorter = assemble(files, tmp_path / "out", data=DataConfig(minimum_item_interactions=2))
    assert len(shorter.vocabulary) == 2
    np.save(tmp_path / "out" / "items.npy", np.zeros(2, np.int32))
    np.save(tmp_path / "out" / "timestamps.npy", np.zeros(2, np.int64))
    for name in ("starts", "ends"):
        np.save(tmp_path / "out" / f"{name}.npy", np.ones(3, np.int64))
    with pytest.raises(DataError, match="its manifest says"):
        Assembled.load(tmp_path / "out")
    with pytest.raises(DataError, match="no complete assembly"):
        Assembled.load(tmp_path / "nowhere")


def test_files_that_cannot_be_used_are_refused_in_words(tmp_path: Path) -> None:
    table = interactions(ROWS)
    data = DataConfig()
    with pytest.raises(DataError, match="lack column 'event_id'"):
        assemble(write(table.drop_columns(["event_id"]), tmp_path), tmp_path / "out", data=data)
    with pytest.raises(DataError, match="cannot be read"):
        assemble([str(tmp_path / "absent.parquet")], tmp_path / "out", data=data)
    with pytest.raises(DataError, match="no Parquet file"):
        assemble([], tmp_path / "out", data=data)
    bare = write(table.select(["event_id", "user_id", "item_id", "timestamp"]), tmp_path)
    with pytest.raises(DataError, match="lack the label's column 'rating'"):
        assemble(bare, tmp_path / "out", data=DataConfig(label="rating"))
    with pytest.raises(ValueError, match="buckets is 0"):
        assemble(bare, tmp_path / "out", data=data, buckets=0)
