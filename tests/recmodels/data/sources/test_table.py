from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recmodels.data.interactions import deduplicate
from recmodels.data.sources.table import read
from recmodels.errors import DataError, SourceError

MOMENT = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())
MAPPING = {"user_id": "uid", "item_id": "vid", "timestamp": "ts"}


def csv(tmp_path: Path, text: str, name: str = "events.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", str(SECONDS)),
        ("ms", str(SECONDS * 1000)),
        ("us", str(SECONDS * 1_000_000)),
        ("iso", "2024-03-01T12:30:00Z"),
        ("iso", "2024-03-01 14:30:00+02:00"),
        ("iso", "2024-03-01T12:30:00"),
        ("iso", "2024-03-01 12:30"),
    ],
)
def test_timestamps_are_read_in_their_unit(tmp_path: Path, unit: str, value: str) -> None:
    tables = read(csv(tmp_path, f"uid,vid,ts\n1,a,{value}\n"), columns=MAPPING, timestamp_unit=unit)
    assert tables.interactions["timestamp"].to_pylist() == [MOMENT]


def test_a_date_is_its_midnight(tmp_path: Path) -> None:
    tables = read(csv(tmp_path, "uid,vid,ts\n1,a,2024-03-01\n"), columns=MAPPING, timestamp_unit="iso")
    assert tables.interactions["timestamp"].to_pylist() == [datetime(2024, 3, 1, tzinfo=UTC)]


def test_fractions_of_a_second_are_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": [1], "vid": ["a"], "ts": [SECONDS + 0.25]}), tmp_path / "e.parquet")
    tables = read(tmp_path / "e.parquet", columns=MAPPING, timestamp_unit="s")
    assert tables.interactions["timestamp"].to_pylist() == [MOMENT.replace(microsecond=250_000)]


@pytest.mark.parametrize(
    "mapping", [MAPPING, ["user_id=uid", "item_id=vid", "timestamp=ts"], "user_id=uid,item_id=vid,timestamp=ts"]
)
def test_a_mapping_may_come_from_the_command_line(tmp_path: Path, mapping: object) -> None:
    tables = read(csv(tmp_path, f"uid,vid,ts,liked,other\n1,a,{SECONDS},1,x\n"), columns=mapping, timestamp_unit="s")
    row = tables.interactions.to_pylist()[0]
    assert (row["user_id"], row["item_id"], row["liked"]) == ("1", "a", True)


def test_the_contract_s_own_names_need_no_mapping(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["a"], "timestamp": [MOMENT]}), tmp_path / "e.parquet")
    tables = read(tmp_path / "e.parquet")
    assert tables.name == "e"
    assert tables.interactions["timestamp"].to_pylist() == [MOMENT]


def test_options_may_come_from_a_toml_file(tmp_path: Path) -> None:
    csv(tmp_path, "vid,name\na,Alpha\n", "items.csv")
    config = csv(
        tmp_path,
        'timestamp_unit = "ms"\nitems = "items.csv"\nname = "clips"\n'
        '[columns]\nuser_id = "uid"\nitem_id = "vid"\ntimestamp = "ts"\n'
        '[item_columns]\nitem_id = "vid"\ntext = "name"\n',
        "mapping.toml",
    )
    events = csv(tmp_path, f"uid,vid,ts\n1,a,{SECONDS}\n")
    tables = read(events, config=config, timestamp_unit="s")
    assert tables.name == "clips"
    assert tables.interactions["timestamp"].to_pylist() == [MOMENT]
    assert tables.items["text"].to_pylist() == ["Alpha"]


def test_several_files_are_read_by_a_pattern_or_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    for number in range(3):
        csv(folder, f"uid,vid,ts\n{number},a,{SECONDS}\n", f"day{number}.csv")
    csv(folder, "nothing", "notes.md")
    by_folder = read(folder, columns=MAPPING, timestamp_unit="s")
    by_pattern = read(folder / "day[01].csv", columns=MAPPING, timestamp_unit="s")
    assert by_folder.interactions["user_id"].to_pylist() == ["0", "1", "2"]
    assert by_pattern.interactions["user_id"].to_pylist() == ["0", "1"]
    assert (by_folder.name, by_pattern.name) == ("events", "events")


def test_the_items_and_users_beside_are_not_read_as_events(tmp_path: Path) -> None:
    csv(tmp_path, f"uid,vid,ts\n1,a,{SECONDS}\n")
    items = csv(tmp_path, "item_id,category\na,news\n", "items.csv")
    users = csv(tmp_path, "uid,plan,signed_up_at\n1,free,\n2,paid,\n", "users.csv")
    tables = read(
        tmp_path, columns=MAPPING, timestamp_unit="s", items=items, users=users, user_columns={"user_id": "uid"}
    )
    assert tables.interactions.num_rows == 1
    assert tables.items.to_pylist()[0]["category"] == "news"
    assert tables.users.to_pylist() == [
        {"user_id": "1", "signed_up_at": None, "plan": "free"},
        {"user_id": "2", "signed_up_at": None, "plan": "paid"},
    ]


def test_a_duplicate_event_is_kept_once_and_counted(tmp_path: Path) -> None:
    rows = f"1,a,{SECONDS}\n" * 3 + f"1,b,{SECONDS}\n"
    found = deduplicate(read(csv(tmp_path, f"uid,vid,ts\n{rows}"), columns=MAPPING, timestamp_unit="s").interactions)
    assert (found.table.num_rows, found.dropped) == (2, 2)


def test_empty_fields_are_null(tmp_path: Path) -> None:
    text = f"uid,vid,ts,rating,query\n,a,{SECONDS},,\n1,b,{SECONDS},nan,cats\n"
    rows = read(csv(tmp_path, text), columns=MAPPING, timestamp_unit="s").interactions.to_pylist()
    assert [row["user_id"] for row in rows] == [None, "1"]
    assert [row["rating"] for row in rows] == [None, None]
    assert [row["query"] for row in rows] == [None, "cats"]


def test_only_the_range_asked_for_is_read(tmp_path: Path) -> None:
    file = csv(tmp_path, f"uid,vid,ts\n1,a,{SECONDS}\n1,b,{SECONDS + 86_400}\n")
    tables = read(file, columns=MAPPING, timestamp_unit="s", end="2024-03-02")
    assert tables.interactions["item_id"].to_pylist() == ["a"]


def test_future_timestamps_pass_for_validation_to_quarantine(tmp_path: Path) -> None:
    tables = read(csv(tmp_path, "uid,vid,ts\n1,a,2999-01-01T00:00:00Z\n"), columns=MAPPING, timestamp_unit="iso")
    assert tables.interactions["timestamp"].to_pylist() == [datetime(2999, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("uid,vid,ts\n1,a,soon\n", {"timestamp_unit": "iso"}, "holds 'soon' at data row 1; expected ISO 8601"),
        ("uid,vid,ts\n1,a,5\n2,b,x\n", {"timestamp_unit": "s"}, "holds 'x' at data row 2; expected a whole number"),
        ("uid,vid,ts\n1,a,5\n2,b,nan\n", {"timestamp_unit": "s"}, "1 of 2 timestamps are null.*first at data row 2"),
        ("uid,vid,ts,rating\n1,a,5,high\n", {"timestamp_unit": "s"}, "'rating' holds 'high' at data row 1"),
        ("uid,vid,ts,liked\n1,a,5,7\n", {"timestamp_unit": "s"}, "'liked' holds '7' at data row 1"),
        ("uid,vid,ts\n1,a,5\n", {"timestamp_unit": "s", "start": "2030-01-01"}, "no interaction lies in the range"),
    ],
)
def test_the_place_is_named_when_data_cannot_be_used(
    tmp_path: Path, text: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(csv(tmp_path, text), columns=MAPPING, **options)


def test_a_number_that_is_not_one_is_refused_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": [1, 2], "vid": ["a", "b"], "ts": [5.0, float("nan")]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="column 'timestamp' holds nan at data row 2"):
        read(tmp_path / "e.parquet", columns=MAPPING, timestamp_unit="s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"user_id": "who"}}, r"has no column 'who'; its columns are uid, vid, ts"),
        ({"columns": {"user": "uid"}}, r"maps 'uid' to 'user', which is no column of the contract"),
        ({"columns": ["user_id"]}, r"'user_id' is not of the form CONTRACT_COLUMN=FILE_COLUMN"),
        ({"columns": 5}, r"option 'columns'"),
        ({"columns": MAPPING}, r"are of type string, first '5'.*timestamp_unit=s, ms, us or iso"),
        ({"columns": MAPPING, "timestamp_unit": "days"}, r"option 'timestamp_unit'.*got 'days'"),
        ({"columns": MAPPING, "timestamp_unit": "s", "items": "nowhere.csv"}, r"nowhere\.csv does not exist"),
        ({"config": "nowhere.toml"}, r"nowhere\.toml does not exist"),
    ],
)
def test_options_are_refused_when_they_do_not_fit(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(csv(tmp_path, "uid,vid,ts\n1,a,5\n"), **options)


def test_a_required_column_is_named_when_nothing_maps_to_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'item_id' is missing"):
        read(csv(tmp_path, "user_id,timestamp\n1,5\n"), timestamp_unit="s")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", "is empty"),
        ("e.csv", b"uid,vid,ts\n", "a header but no row"),
        ("e.csv", b"uid,vid,ts\n1,a\n", "is not text of 3 columns"),
        ("e.csv", b"uid,vid,ts\n1,\xff\xfe,5\n", "is not text of 3 columns"),
        ("e.parquet", b"", "is empty"),
        ("e.parquet", b"PAR1 and no more", "is not a whole Parquet file"),
        ("e.json", b"{}", r"ending '\.json'; expected \.parquet"),
    ],
)
def test_a_file_is_refused_when_it_is_damaged(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / name, columns=MAPPING, timestamp_unit="s")


def test_a_pattern_is_refused_when_no_file_matches(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file matches"):
        read(tmp_path / "*.parquet")


def test_a_folder_is_refused_when_it_holds_no_table(tmp_path: Path) -> None:
    csv(tmp_path, "x", "readme.md")
    with pytest.raises(SourceError, match=r"holds no file ending in \.parquet.*found: readme\.md"):
        read(tmp_path)


def test_a_toml_file_is_refused_when_it_is_not_toml(tmp_path: Path) -> None:
    config = csv(tmp_path, "columns = {", "bad.toml")
    with pytest.raises(SourceError, match=r"bad\.toml is not TOML"):
        read(csv(tmp_path, "uid,vid,ts\n1,a,5\n"), config=config)
