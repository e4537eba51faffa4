"""What is read is what was written; what stands for more than it may is not read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recmodels.tables import read_table

FILMS = pa.table(
    {
        "item_id": ["a", "b", "c"],
        "text": pa.array(["long enough", None, "long enough"]),
        "length": pa.array([1.5, None, 3.0]),
        "published_at": pa.array([1, 2, None], pa.timestamp("us", tz="UTC")),
    }
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "films.parquet"
    pq.write_table(FILMS, path)
    return path


def test_a_table_is_read_as_it_was_written(written):
    found = read_table(written, rows=3, max_bytes=100)
    assert found.equals(FILMS)
    assert found.schema == FILMS.schema


@pytest.mark.parametrize(("max_bytes", "is_read"), [(25, True), (24, False)])
def test_texts_are_measured_as_often_as_they_stand_there(written, max_bytes, is_read):
    """a, b, c and twice eleven letters are 25."""
    if is_read:
        assert read_table(written, rows=3, max_bytes=max_bytes).num_rows == 3
        return
    with pytest.raises(ValueError, match=r"^films.parquet: its texts take 25 bytes, at most 24"):
        read_table(written, rows=3, max_bytes=max_bytes)


def test_a_table_is_refused_when_it_has_other_rows(written):
    with pytest.raises(ValueError, match=r"^films.parquet: it has 3 rows, expected 4"):
        read_table(written, rows=4, max_bytes=100)


def test_a_table_is_refused_when_a_few_bytes_stand_for_gigabytes(tmp_path):
    path, rows = tmp_path / "films.parquet", 5_000
    same = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"item_id": same}), path, store_schema=False)
    assert path.stat().st_size < 200_000
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match="its texts take 5000000000 bytes"):
        read_table(path, rows=rows, max_bytes=2**30)
    assert pa.total_allocated_bytes() - before < 10_000_000


def test_a_table_is_refused_when_its_codec_shrinks_without_bound(tmp_path):
    path = tmp_path / "films.parquet"
    pq.write_table(FILMS, path, compression="zstd")
    with pytest.raises(ValueError, match="packed by ZSTD, expected SNAPPY or UNCOMPRESSED"):
        read_table(path, rows=3, max_bytes=100)


def test_a_table_is_refused_when_a_column_holds_lists(tmp_path):
    path = tmp_path / "films.parquet"
    pq.write_table(pa.table({"item_id": ["a"], "tags": [["x", "y"]]}), path)
    with pytest.raises(ValueError, match="tags hold lists or structures"):
        read_table(path, rows=1, max_bytes=100)


def test_an_empty_table_is_read(tmp_path):
    path = tmp_path / "films.parquet"
    pq.write_table(FILMS.slice(0, 0), path)
    assert read_table(path, rows=0, max_bytes=0).equals(FILMS.slice(0, 0))
