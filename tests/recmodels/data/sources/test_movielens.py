import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from recmodels.data.sources.movielens import read
from recmodels.errors import DataError, SourceError

ITEM = "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
NAMELESS = "267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"


@pytest.fixture
def ml_100k(tmp_path: Path) -> Path:
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n186\t1\t4\t891717742\n")
    (tmp_path / "u.item").write_text(ITEM + NAMELESS, encoding="latin1")
    (tmp_path / "u.user").write_text("196|49|M|writer|55105\n186|39|F|executive|00000\n")
    return tmp_path


def test_the_ml_100k_layout_is_read(ml_100k: Path) -> None:
    tables = read(ml_100k)
    assert tables.name == "ml-100k"
    assert not tables.is_order_only
    first = tables.interactions.to_pylist()[0]
    assert (first["user_id"], first["item_id"], first["rating"], first["surface"]) == ("196", "242", 3.0, "video")
    assert first["timestamp"] == datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)
    items = {row["item_id"]: row for row in tables.items.to_pylist()}
    assert set(items) == {"1", "267", "242"}
    assert items["1"]["text"] == "Toy Story"
    assert items["1"]["category"] == "Animation|Children's|Comedy"
    assert items["1"]["published_at"] == datetime(1995, 1, 1, tzinfo=UTC)
    assert items["267"]["published_at"] is None
    assert tables.users.to_pylist()[0] == {
        "user_id": "196", "signed_up_at": None, "age": "49", "gender": "M", "occupation": "writer",
    }  # fmt: skip


def test_the_terms_are_stated(ml_100k: Path) -> None:
    terms = read(ml_100k).terms
    assert "research" in terms
    assert "not to be redistributed" in terms


def test_the_ratings_file_itself_may_be_given(ml_100k: Path) -> None:
    assert read(ml_100k / "u.data").interactions.num_rows == 2


def test_the_ml_1m_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    (tmp_path / "movies.dat").write_bytes('661::Misérables, Les: "It" (1995)::Drama|Musical\n'.encode("latin1"))
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    tables = read(tmp_path)
    assert tables.name == "ml-1m"
    film = tables.items.to_pylist()[0]
    assert (film["text"], film["category"]) == ('Misérables, Les: "It"', "Drama|Musical")
    assert film["published_at"] == datetime(1995, 1, 1, tzinfo=UTC)
    assert tables.items["item_id"].to_pylist() == ["661", "1193"]
    assert tables.users.to_pylist()[0]["occupation"] == "10"


def test_the_csv_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,3,4.5,964981247\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n3,"Grumpier, ""Old"" Men (1995)",Comedy|Romance\n4,Untimed,(no genres listed)\n'
    )
    tables = read(tmp_path)
    assert tables.name == tmp_path.name
    assert tables.interactions["rating"].to_pylist() == [4.5]
    films = tables.items.to_pylist()
    assert (films[0]["text"], films[0]["category"]) == ('Grumpier, "Old" Men', "Comedy|Romance")
    assert (films[1]["category"], films[1]["published_at"]) == (None, None)
    assert tables.users["user_id"].to_pylist() == ["1"]


def test_ml_100k_is_read_out_of_the_wheel(ml_100k_wheel: Path) -> None:
    tables = read(ml_100k_wheel)
    assert tables.interactions.num_rows == 100_000
    assert (tables.items.num_rows, tables.users.num_rows) == (1_682, 943)
    days = pc.count_distinct(pc.floor_temporal(tables.interactions["timestamp"], unit="day")).as_py()
    assert days == 213
    first = tables.items.to_pylist()[0]
    assert (first["text"], first["category"]) == ("Toy Story", "Animation|Children's|Comedy")
    assert tables.items["published_at"].null_count == 1
    assert sorted(tables.users.column_names) == ["age", "gender", "occupation", "signed_up_at", "user_id"]
    assert pc.count_distinct(tables.interactions["event_id"]).as_py() == 100_000


def test_the_wheel_s_files_may_lie_in_a_folder(ml_100k_wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(ml_100k_wheel) as archive:
        for ending in ("inter", "item", "user"):
            name = f"ml-100k.{ending}"
            (tmp_path / name).write_bytes(archive.read(f"recbole/dataset_example/ml-100k/{name}"))
    assert read(tmp_path).interactions.num_rows == 100_000
    altered = tmp_path / "ml-100k.inter"
    altered.write_bytes(altered.read_bytes().replace(b"196\t242\t3", b"196\t242\t5", 1))
    with pytest.raises(SourceError, match=r"expected 4edb74e2.*The file was altered"):
        read(tmp_path)


def test_real_csv_files_are_read(shared_data: Path) -> None:
    tables = read(shared_data / "ml_latest_small")
    assert tables.interactions.num_rows == 100_836
    assert tables.users.num_rows == 610
    assert pc.count_distinct(tables.interactions["item_id"]).as_py() == 9_724


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.data", "", r"u\.data is empty"),
        ("u.data", "196\t242\t3\n", r"u\.data is not text of 4 columns.*got 3"),
        ("u.item", "", r"u\.item is empty"),
    ],
)
def test_a_file_is_refused_when_it_is_damaged(ml_100k: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(write(ml_100k, name, text))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\t2\tgood\t881250949", "column 'rating' holds 'good' at data row 2; expected a number"),
        ("1\t2\t3\tyesterday", "column 'timestamp' holds 'yesterday' at data row 2; expected a whole number"),
        ("1\t2\t3\tnan", "column 'timestamp' holds 'nan' at data row 2"),
        ("1\t2\t3\t", "1 of 2 timestamps are null"),
    ],
)
def test_the_row_is_named_when_a_value_is_of_the_wrong_type(ml_100k: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(ml_100k, "u.data", f"196\t242\t3\t881250949\n{row}\n"))


def test_a_user_that_is_missing_passes_for_validation_to_quarantine(ml_100k: Path) -> None:
    tables = read(write(ml_100k, "u.data", "\t242\t3\t881250949\n"))
    assert tables.interactions["user_id"].to_pylist() == [None]


def test_the_column_is_named_when_a_csv_lacks_it(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", "userId,movieId,stars,timestamp\n1,3,4.5,964981247\n")
    with pytest.raises(
        SourceError, match=r"ratings\.csv has no column 'rating'; its columns are userId, movieId, stars"
    ):
        read(tmp_path)


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "ratings.csv", "userId,movieId,rating,timestamp\n")
    with pytest.raises(SourceError, match="a header but no row"):
        read(tmp_path)


def test_a_folder_is_refused_when_it_holds_no_ratings(tmp_path: Path) -> None:
    write(tmp_path, "movies.dat", "x")
    with pytest.raises(SourceError, match=r"Expected one of u\.data, ratings\.dat.*found: movies\.dat.*'sequences'"):
        read(tmp_path)


def test_a_zip_is_refused_when_it_is_truncated_or_another(tmp_path: Path) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(SourceError, match="not a whole zip file"):
        read(broken)
    other = tmp_path / "other.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(SourceError, match=r"no member recbole/.*ml-100k\.inter"):
        read(other)
