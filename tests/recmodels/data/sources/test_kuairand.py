from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from recmodels.data.sources.kuairand import read
from recmodels.errors import DataError, SourceError

LOG = {
    "user_id": [7, 7, 7],
    "video_id": [1, 2, 2],
    "date": [20220425] * 3,
    "hourmin": [1200] * 3,
    "time_ms": [1650860000123, 1650860009000, 1650860009000],
    "is_click": [1, 0, 0],
    "is_like": [1, 0, 0],
    "is_follow": [0, 0, 0],
    "is_comment": [0, 1, 1],
    "is_forward": [1, 0, 0],
    "is_hate": [0, 1, 1],
    "long_view": [1, 0, 0],
    "play_time_ms": [30500, 0, 0],
    "duration_ms": [10000, 222105, 222105],
    "profile_stay_time": [0, 0, 0],
    "tab": [1, 14, 14],
}


def folder_of(tmp_path: Path, table: pa.Table, *, ending: str = "parquet") -> Path:
    if ending == "parquet":
        pq.write_table(table, tmp_path / "log_standard.parquet")
    else:
        pa_csv.write_csv(table, tmp_path / "log_standard.csv")
    return tmp_path


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_every_column_is_mapped_as_the_notes_say(tmp_path: Path, ending: str) -> None:
    tables = read(folder_of(tmp_path, pa.table(LOG), ending=ending))
    first, second = tables.interactions.to_pylist()
    assert first["timestamp"] == datetime(2022, 4, 25, 4, 13, 20, 123000, tzinfo=UTC)
    assert (first["user_id"], first["item_id"], first["surface"]) == ("7", "1", "tab_1")
    assert (first["watch_seconds"], first["duration_seconds"]) == (30.5, 10.0)
    flags = ("clicked", "liked", "shared", "followed", "commented", "hidden", "long_viewed")
    assert [first[name] for name in flags] == [True, True, True, False, False, False, True]
    assert [second[name] for name in flags] == [False, False, False, False, True, True, False]
    assert second["surface"] == "tab_14"
    assert "1 of 3 rows equalled another" in tables.notes[-1]


def test_rows_that_differ_in_an_unmapped_column_are_two_events(tmp_path: Path) -> None:
    tables = read(folder_of(tmp_path, pa.table(LOG | {"profile_stay_time": [0, 0, 5]})))
    assert tables.interactions.num_rows == 3


def test_items_and_users_without_features_get_bare_rows(tmp_path: Path) -> None:
    tables = read(folder_of(tmp_path, pa.table(LOG)))
    assert tables.items["item_id"].to_pylist() == ["1", "2"]
    assert tables.users["user_id"].to_pylist() == ["7"]


def test_features_are_read_when_they_lie_beside(tmp_path: Path) -> None:
    (tmp_path / "video_features_basic_pure.csv").write_text(
        "video_id,author_id,video_type,upload_dt,video_duration,tag\n"
        '2,900,NORMAL,2022-04-10,222105.0,"39,68"\n9,901,AD,2022-04-09,,\n'
    )
    (tmp_path / "user_features_pure.csv").write_text(
        "user_id,user_active_degree,is_live_streamer,is_video_author,follow_user_num_range,fans_user_num_range,"
        'friend_user_num_range,register_days_range\n7,full_active,0,1,"(10,50]",0,0,730+\n'
    )
    tables = read(folder_of(tmp_path, pa.table(LOG)) / "log_standard.parquet")
    items = {row["item_id"]: row for row in tables.items.to_pylist()}
    assert (items["2"]["creator_id"], items["2"]["category"]) == ("900", "39|68")
    assert (items["2"]["duration_seconds"], items["2"]["published_at"]) == (222.105, datetime(2022, 4, 10, tzinfo=UTC))
    assert (items["9"]["duration_seconds"], items["9"]["category"]) == (None, None)
    assert items["1"]["creator_id"] is None
    assert tables.users.to_pylist()[0]["follow_user_num_range"] == "(10,50]"


def test_several_logs_are_joined_and_the_sample_is_skipped(tmp_path: Path) -> None:
    folder_of(tmp_path, pa.table(LOG))
    pa_csv.write_csv(pa.table(LOG | {"user_id": [8, 8, 8]}), tmp_path / "log_random.csv")
    pq.write_table(pa.table(LOG | {"user_id": [9, 9, 9]}), tmp_path / "log_sample2000_x.parquet")
    assert set(read(tmp_path).interactions["user_id"].to_pylist()) == {"7", "8"}


def test_the_real_files_hold_what_is_known_of_them(shared_data: Path) -> None:
    tables = read(shared_data / "kuairand_pure")
    assert tables.interactions.num_rows == 222_869
    assert "5460 of 228329 rows" in tables.notes[-1]
    assert pc.count_distinct(tables.interactions["user_id"]).as_py() == 25_156
    assert pc.count_distinct(tables.interactions["item_id"]).as_py() == 6_361
    assert pc.count_distinct(tables.interactions["surface"]).as_py() == 15
    longer = pc.greater(tables.interactions["watch_seconds"], tables.interactions["duration_seconds"])
    assert pc.sum(longer).as_py() > 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_click": ["1", "0", "maybe"]}, "column 'is_click' holds 'maybe' at data row 3; expected a whole number"),
        ({"is_like": [0, 2, 0]}, "column 'liked' holds 2 at data row 2"),
        ({"time_ms": [1650860000123, None, 5]}, "1 of 3 timestamps are null or not a number, first at data row 2"),
        ({"time_ms": [1.0, float("nan"), 5.0]}, "column 'time_ms' holds nan at data row 2"),
    ],
)
def test_the_row_is_named_when_a_value_is_wrong(tmp_path: Path, change: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder_of(tmp_path, pa.table(LOG | change)))


def test_the_column_is_named_when_a_log_lacks_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"log_standard\.parquet has no column 'tab'; its columns are user_id"):
        read(folder_of(tmp_path, pa.table(LOG).drop_columns(["tab"])))


def test_a_truncated_log_is_refused(tmp_path: Path) -> None:
    log = folder_of(tmp_path, pa.table(LOG)) / "log_standard.parquet"
    log.write_bytes(log.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"log_standard\.parquet of \d+ bytes is not a whole Parquet file"):
        read(tmp_path)


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log_standard.parquet").touch()
    with pytest.raises(SourceError, match="is empty"):
        read(tmp_path)


def test_a_log_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a header but no row"):
        read(folder_of(tmp_path, pa.table(LOG).slice(0, 0)))


def test_a_folder_is_refused_when_it_holds_no_log(tmp_path: Path) -> None:
    (tmp_path / "user_features_pure.csv").touch()
    with pytest.raises(SourceError, match=r"holds no log file.*found: user_features_pure\.csv"):
        read(tmp_path)
