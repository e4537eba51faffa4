from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recmodels.data.schema import Tables
from recmodels.data.sources.sequences import read
from recmodels.errors import DataError, SourceError


def sequences_of(tables: Tables) -> dict[str, list[str]]:
    rows = tables.interactions.sort_by([("user_id", "ascending"), ("timestamp", "ascending")]).to_pylist()
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


@pytest.mark.parametrize("text", ["1 5 6 5\n\n2 7\n", "1\t5 6 5\n2\t7", "  1 5\t6  5 \r\n2 7\r\n"])
def test_a_line_is_a_user_and_items_in_order(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Beauty.txt"
    file.write_bytes(text.encode())
    tables = read(file)
    assert tables.is_order_only
    assert tables.name == "Beauty"
    assert sequences_of(tables) == {"1": ["5", "6", "5"], "2": ["7"]}
    assert tables.interactions["timestamp"].to_pylist()[:2] == [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    ]


def test_columns_are_recognised_and_positions_become_ranks(tmp_path: Path) -> None:
    file = tmp_path / "ordered.parquet"
    pq.write_table(pa.table({"user": [1, 2, 1, 1], "pos": [9, 4, -3, 7], "movie": [5, 6, 7, 8]}), file)
    tables = read(tmp_path)
    assert tables.is_order_only
    assert sequences_of(tables) == {"1": ["7", "8", "5"], "2": ["6"]}
    seconds = pc.divide(tables.interactions["timestamp"].cast(pa.int64()), 1_000_000).to_pylist()
    assert sorted(seconds) == [0, 0, 1, 2]


def test_columns_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "ordered.csv"
    file.write_text("who,nth,what,rating\nann,2,b,4\nann,1,a,5\n")
    tables = read(file, user="who", position="nth", item="what")
    assert sequences_of(tables) == {"ann": ["a", "b"]}
    assert sorted(tables.interactions["rating"].to_pylist()) == [4.0, 5.0]


def test_items_are_described_when_a_file_does(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("1 5 6\n")
    (tmp_path / "titles.csv").write_text('item,title\n6,"six, really"\n')
    tables = read(tmp_path / "s.txt", items=tmp_path / "titles.csv")
    assert tables.items.select(["item_id", "text"]).to_pylist() == [
        {"item_id": "6", "text": "six, really"},
        {"item_id": "5", "text": None},
    ]


@pytest.mark.parametrize(
    ("path", "users", "items", "events"),
    [
        ("amazon_beauty/Beauty.txt", 22_363, 12_101, 198_502),
        ("microlens_50k", 50_000, 19_220, 359_708),
        ("ml_1m", 6_040, 3_416, 999_611),
    ],
)
def test_the_real_files_hold_what_is_known_of_them(
    shared_data: Path, path: str, users: int, items: int, events: int
) -> None:
    tables = read(shared_data / path)
    assert tables.interactions.num_rows == events
    assert (tables.users.num_rows, tables.items.num_rows) == (users, items)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  \n\n", "is empty"),
        ("1 5 6\n\n2\n", r"line 3 of s\.txt holds one word"),
        ("1 5 6\n2 7\n1 8\n", r"1 users stand on more than one line of s\.txt, first '1'"),
    ],
)
def test_lines_are_refused_when_they_are_not_sequences(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.txt").write_text(text)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "s.txt")


def test_text_is_refused_when_it_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(b"1 \xff\xfe\n")
    with pytest.raises(SourceError, match="is not UTF-8 text"):
        read(tmp_path / "s.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,when,item\n1,2,3\n", r"none of which is known as position.*option position=COLUMN"),
        ("user,pos,item\n1,2,3\n1,2,4\n", r"gives user '1' two events at position 2"),
        ("user,pos,item\n1,,3\n", "1 rows without a position"),
        ("user,pos,item\n", "a header but no row"),
        ("user,pos,item\n1,2\n", "is not text of 3 columns"),
    ],
)
def test_columns_are_refused_when_they_give_no_order(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "s.csv")


def test_a_position_is_refused_when_it_is_no_whole_number(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("user,pos,item\n1,1,3\n1,first,4\n")
    with pytest.raises(DataError, match="column 'pos' holds 'first' at data row 2; expected a whole number"):
        read(tmp_path / "s.csv")


def test_a_named_column_is_refused_when_it_is_absent(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("user,pos,item\n1,1,3\n")
    with pytest.raises(SourceError, match="has no column 'movie'"):
        read(tmp_path / "s.csv", item="movie")


def test_a_folder_is_refused_when_the_file_is_not_clear(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2\n")
    with pytest.raises(SourceError, match=r"it holds a\.txt\. Give the path of the file itself"):
        read(tmp_path)


def test_a_file_is_refused_when_its_kind_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(SourceError, match=r"ending '\.json'; expected one of \.txt"):
        read(tmp_path / "s.json")
