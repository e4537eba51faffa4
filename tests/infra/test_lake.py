"""Delta tables: windows, versions, appends that happen once, erasure, damage."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from infra.lake import Lake
from infra.lake_layout import ROWS_FOR_DAILY_PARTITIONS
from recmodels.data import schema
from recmodels.errors import DataError, StoreError
from tests.infra.lakes import Bed, FolderBed, store_bed

START = datetime(2026, 1, 30, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Bed:
    """Where the lake is: the same tests hold in a folder and in an object store."""
    if request.param == "folder":
        return FolderBed(tmp_path / "a lake*")  # blanks mean something to Delta, stars to DuckDB
    return store_bed(request.getfixturevalue("s3_server"), tmp_path)


@pytest.fixture
def lake(bed: Bed) -> Lake:
    return bed.lake()


def _hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def _fill(table_schema: pa.Schema, columns: dict[str, list[object]], *, rows: int) -> pa.Table:
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in table_schema]
    return pa.table(arrays, schema=table_schema)


def _interactions(hours: Iterable[float], *, tag: str = "e", user: str = "u1") -> pa.Table:
    hours = list(hours)
    n = len(hours)
    columns: dict[str, list[object]] = {
        "event_id": [f"{tag}{hour:g}" for hour in hours],
        "user_id": [user] * n,
        "item_id": ["i1"] * n,
        "timestamp": [_hour(hour) for hour in hours],
        "surface": ["video"] * n,
        "origin": ["event"] * n,
    }
    return _fill(schema.INTERACTIONS, columns, rows=n)


def _outcomes(requests: list[str]) -> pa.Table:
    n = len(requests)
    columns: dict[str, list[object]] = {
        "event_id": [f"e-{request}" for request in requests],
        "request_id": list(requests),
        "item_id": ["i1"] * n,
        "kind": ["clicked"] * n,
        "value": [1.0] * n,
        "timestamp": [_hour(1)] * n,
    }
    return _fill(schema.OUTCOMES, columns, rows=n)


def _impressions(requests: list[str], *, user_key: str) -> pa.Table:
    n = len(requests)
    columns: dict[str, list[object]] = {
        "request_id": list(requests),
        "timestamp": [_hour(0)] * n,
        "user_key": [user_key] * n,
        "surface": ["video"] * n,
        "model_version": ["1"] * n,
        "arm": ["rest"] * n,
        "position": [0] * n,
        "item_id": ["i1"] * n,
        "propensity": [1.0] * n,
        "is_fallback": [False] * n,
        "latency_seconds": [0.01] * n,
        "origin": ["event"] * n,
    }
    return _fill(schema.IMPRESSIONS, columns, rows=n)


def _items(ids: list[str]) -> pa.Table:
    return _fill(schema.ITEMS, {"item_id": list(ids), "safety": ["ok"] * len(ids)}, rows=len(ids))


def _ids(lake: Lake, **window: datetime) -> list[str]:
    ids: list[str] = lake.read("interactions", **window)["event_id"].to_pylist()  # type: ignore[arg-type]
    return ids


def test_folder_that_delta_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has \[ \] in its name.*EVERFEED_HOME"):
        Lake(str(tmp_path / "lake [1]"))


def test_table_is_missing_until_it_is_written(lake: Lake) -> None:
    assert lake.version("interactions") is None
    with pytest.raises(StoreError, match="no table 'interactions' yet"):
        lake.read("interactions")


def test_window_is_replaced_and_the_rest_stays(lake: Lake) -> None:
    first = lake.write_window("interactions", _interactions(range(96)), start=_hour(0), end=_hour(96))
    second = lake.write_window("interactions", _interactions([30, 40], tag="x"), start=_hour(24), end=_hour(47.5))
    assert (first, second, lake.version("interactions")) == (0, 1, 1)
    kept = [*(f"e{h}" for h in range(24)), "x30", "x40", *(f"e{h}" for h in range(48, 96))]
    assert _ids(lake) == kept


def test_window_written_again_changes_no_content(lake: Lake) -> None:
    frame = _interactions(range(48))
    for _ in range(3):
        lake.write_window("interactions", frame, start=_hour(0), end=_hour(48))
    assert lake.read("interactions").equals(frame)


def test_rows_come_in_the_contract_sorted_when_they_are_read(lake: Lake) -> None:
    frame = _interactions([5, 3, 90, 4])
    lake.write_window("interactions", frame, start=_hour(0), end=_hour(96))
    read = lake.read("interactions")
    assert read.schema.equals(schema.INTERACTIONS)
    assert read["event_id"].to_pylist() == ["e3", "e4", "e5", "e90"]
    assert lake.read("interactions", columns=["item_id", "timestamp"]).column_names == ["item_id", "timestamp"]
    assert _ids(lake, start=_hour(4), end=_hour(90)) == ["e4", "e5"]
    assert _ids(lake, start=_hour(89.5)) == ["e90"]
    assert _ids(lake, start=_hour(1000)) == []
    with pytest.raises(DataError, match="no column nothing"):
        lake.read("interactions", columns=["nothing"])


def test_window_is_cleared_when_its_frame_is_empty(lake: Lake) -> None:
    lake.write_window("interactions", _interactions(range(48)), start=_hour(0), end=_hour(48))
    lake.write_window("interactions", _interactions([]), start=_hour(0), end=_hour(47))
    assert _ids(lake) == ["e47"]
    lake.write_window("interactions", _interactions([]), start=_hour(0), end=_hour(48))
    assert lake.read("interactions").equals(schema.INTERACTIONS.empty_table())
    assert lake.daily_counts("interactions") == {}


def test_table_is_made_when_its_first_window_is_empty(lake: Lake) -> None:
    lake.write_window("outcomes", _outcomes([]), start=_hour(0), end=_hour(1))
    assert lake.read("outcomes").num_rows == 0


@pytest.mark.parametrize("hours", [[-0.001, 5], [5, 24]])
def test_rows_outside_the_window_are_refused(lake: Lake, hours: list[float]) -> None:
    with pytest.raises(DataError, match="outside the window from 2026-01-30T00:00:00"):
        lake.write_window("interactions", _interactions(hours), start=_hour(0), end=_hour(24))
    assert lake.version("interactions") is None


def test_window_without_length_is_refused(lake: Lake) -> None:
    with pytest.raises(DataError, match="is empty"):
        lake.write_window("interactions", _interactions([]), start=_hour(1), end=_hour(1))


def test_frame_outside_the_contract_is_refused(lake: Lake) -> None:
    frame = _interactions([1])
    window = {"start": _hour(0), "end": _hour(24)}
    with pytest.raises(DataError, match="lacks item_id"):
        lake.write_window("interactions", frame.drop(["item_id"]), **window)
    with pytest.raises(DataError, match="unknown columns mood"):
        lake.write_window("interactions", frame.append_column("mood", [["good"]]), **window)
    with pytest.raises(DataError, match="nulls in user_id"):
        lake.write_window("interactions", _nulled(frame, "user_id"), **window)
    with pytest.raises(DataError, match="types"):
        lake.write_window("interactions", frame.set_column(6, "watch_seconds", [["long"]]), **window)
    with pytest.raises(DataError, match="no time column"):
        lake.write_window("items", _items(["i1"]), **window)
    with pytest.raises(DataError, match="not in the data contract"):
        lake.replace("moods", frame)


def _nulled(frame: pa.Table, column: str) -> pa.Table:
    place = frame.column_names.index(column)
    return frame.set_column(place, pa.field(column, pa.string()), pa.nulls(frame.num_rows, pa.string()))


def test_partitions_are_months_unless_days_are_large(bed: Bed, lake: Lake) -> None:
    lake.write_window("interactions", _interactions(range(96)), start=_hour(0), end=_hour(96))
    assert bed.partitions("interactions") == {"month=2026-01", "month=2026-02"}
    n = 2 * ROWS_FOR_DAILY_PARTITIONS
    hours = np.arange(n) * 48 / n
    columns: dict[str, list[object]] = {
        "event_id": [str(i) for i in range(n)],
        "request_id": ["q"] * n,
        "item_id": ["i"] * n,
        "kind": ["clicked"] * n,
        "value": [1.0] * n,
        "timestamp": [_hour(hour) for hour in hours.tolist()],
    }
    lake.append("outcomes", _fill(schema.OUTCOMES, columns, rows=n))
    assert bed.partitions("outcomes") == {"day=2026-01-30", "day=2026-01-31"}
    lake.write_window("outcomes", _outcomes(["q1"]), start=_hour(0), end=_hour(24))
    assert lake.daily_counts("outcomes") == {date(2026, 1, 30): 1, date(2026, 1, 31): n // 2}


def test_older_version_reads_as_it_was(lake: Lake) -> None:
    first = lake.write_window("interactions", _interactions(range(48)), start=_hour(0), end=_hour(48))
    lake.write_window("interactions", _interactions([]), start=_hour(0), end=_hour(48))
    assert lake.read("interactions", version=first).num_rows == 48
    assert lake.daily_counts("interactions", version=first) == {date(2026, 1, 30): 24, date(2026, 1, 31): 24}
    assert [version.version for version in lake.versions("interactions")] == [1, 0]
    assert len(lake.file_uris("interactions", first)) == 1
    with pytest.raises(StoreError, match="no version 7: its newest is 1"):
        lake.read("interactions", version=7)


def test_append_happens_once_when_its_key_comes_again(lake: Lake) -> None:
    for key in ("batch-1", "batch-1", "batch-2", ""):
        lake.append("outcomes", _outcomes(["q1"]), key=key)
    assert lake.read("outcomes").num_rows == 3
    assert lake.version("outcomes") == 2


def test_whole_table_is_replaced_with_its_attributes(lake: Lake) -> None:
    lake.replace("items", _items(["b", "a"]))
    lake.replace("items", _items(["c", "b"]))
    assert lake.read("items")["item_id"].to_pylist() == ["b", "c"]
    users = _fill(schema.USERS, {"user_id": ["u2", "u1"]}, rows=2)
    lake.replace("users", users.append_column("gender", [["f", "m"]]))
    lake.replace("users", users.append_column("age", [["18", "24"]]).append_column("city", [["x", None]]))
    read = lake.read("users")
    assert read.column_names == ["user_id", "signed_up_at", "age", "city"]
    assert read["city"].to_pylist() == [None, "x"]


def test_windows_of_many_writers_all_arrive(lake: Lake) -> None:
    lake.write_window("interactions", _interactions([0]), start=_hour(0), end=_hour(1))

    def write(hour: int) -> None:
        lake.write_window("interactions", _interactions([hour]), start=_hour(hour), end=_hour(hour + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 9)))
    assert _ids(lake) == [f"e{hour}" for hour in range(9)]


@pytest.fixture
def crowded(lake: Lake) -> Lake:
    """A lake in which anna and bert stand in every table, in older versions too."""
    anna, bert = _interactions(range(0, 96, 2), user="anna"), _interactions(range(1, 96, 2), user="bert")
    everybody = pa.concat_tables([anna, bert])
    window = {"start": _hour(0), "end": _hour(96)}
    lake.write_window("interactions", everybody, **window)
    lake.write_window("interactions", everybody, **window)
    lake.replace("users", _fill(schema.USERS, {"user_id": ["anna", "bert"]}, rows=2))
    lake.append("impressions", _impressions(["qa1", "qa2"], user_key="key-anna"))
    lake.append("impressions", _impressions(["qb"], user_key="key-bert"))
    lake.append("outcomes", _outcomes(["qa1", "qb"]))
    rows = ['{"user_id": "anna"}', '{"user_id": "bert"}', "cut off: {'user_id': 'anna'"]
    columns: dict[str, list[object]] = {
        "table": ["interactions"] * 3,
        "reason": ["future"] * 3,
        "quarantined_at": [_hour(0)] * 3,
        "row": list(rows),
    }
    lake.append("quarantine", _fill(schema.QUARANTINE, columns, rows=3))
    return lake


def test_nothing_of_a_user_is_left_when_they_are_erased(crowded: Lake, bed: Bed) -> None:
    assert len(bed.files_with(b"anna")) > 5
    erasure = crowded.erase_user("anna", user_key="key-anna", now=NOW)
    assert erasure.rows == {"interactions": 48, "users": 1, "impressions": 2, "outcomes": 1, "quarantine": 2}
    assert crowded.read("interactions")["user_id"].to_pylist() == ["bert"] * 48
    assert crowded.read("users")["user_id"].to_pylist() == ["bert"]
    assert crowded.read("impressions")["request_id"].to_pylist() == ["qb"]
    assert crowded.read("outcomes")["request_id"].to_pylist() == ["qb"]
    assert bed.files_with(b"anna") == []


def test_older_versions_are_refused_when_a_user_was_erased(crowded: Lake) -> None:
    erasure = crowded.erase_user("anna", user_key="key-anna", now=NOW)
    first = erasure.versions["interactions"]
    with pytest.raises(StoreError, match=rf"version 1 can no longer be read: a user was erased.*before {first}"):
        crowded.read("interactions", version=1)
    assert crowded.read("interactions", version=first).num_rows == 48
    assert {version.version: version.is_erased for version in crowded.versions("interactions")}[1]


def test_erasing_again_changes_nothing(crowded: Lake) -> None:
    first = crowded.erase_user("anna", user_key="key-anna", now=NOW)
    versions = {name: crowded.version(name) for name in first.versions}
    again = crowded.erase_user("anna", user_key="key-anna", now=NOW)
    assert again.rows == {}
    assert again.versions == first.versions
    assert {name: crowded.version(name) for name in first.versions} == versions


def test_erasure_waits_when_somebody_reads(crowded: Lake, bed: Bed) -> None:
    with crowded.reading():
        files = bed.files_with(b"anna")
        eraser = threading.Thread(target=crowded.erase_user, args=("anna",), kwargs={"now": NOW})
        eraser.start()
        eraser.join(0.3)
        assert eraser.is_alive()
        assert bed.files_with(b"anna") == files
    eraser.join(30)
    assert crowded.read("interactions").num_rows == 48


def test_erasure_does_nothing_when_the_lake_is_empty(lake: Lake) -> None:
    assert lake.erase_user("anna", user_key="key-anna", now=NOW).rows == {}


def test_damaged_file_is_told_from_an_empty_table(lake: Lake, bed: Bed) -> None:
    lake.write_window("interactions", _interactions(range(24)), start=_hour(0), end=_hour(24))
    for name, content in bed.content().items():
        if name.endswith(".parquet"):
            bed.put(name, content[:30])
    with pytest.raises(StoreError, match=r"interactions is damaged.*Restore it from a backup"):
        lake.read("interactions")


def test_damaged_log_is_told_from_a_missing_table(lake: Lake, bed: Bed) -> None:
    lake.write_window("interactions", _interactions(range(24)), start=_hour(0), end=_hour(24))
    bed.put("interactions/_delta_log/00000000000000000000.json", b"garbage")
    with pytest.raises(StoreError, match="is damaged"):
        lake.read("interactions")


def test_a_share_of_the_users_is_read_whole_and_the_same_each_time(lake: Lake) -> None:
    rows = pa.concat_tables(_interactions(range(3), tag=f"{n}-", user=f"u{n}") for n in range(40))
    lake.write_window("interactions", rows, start=START, end=_hour(24))
    part = lake.read("interactions", share=0.5)
    chosen = set(part["user_id"].to_pylist())
    assert 8 < len(chosen) < 32
    assert part.num_rows == 3 * len(chosen)
    assert lake.read("interactions", share=0.5).equals(part)
    assert set(lake.read("interactions", share=0.25)["user_id"].to_pylist()) < chosen


def test_a_table_of_an_older_contract_is_read_and_grown(lake: Lake) -> None:
    columns: dict[str, list[object]] = {
        "request_id": ["q1"],
        "timestamp": [_hour(0)],
        "user_key": ["k"],
        "surface": ["video"],
        "model_version": ["1"],
        "arm": ["rest"],
        "position": [0],
        "item_id": ["i1"],
        "propensity": [1.0],
        "is_fallback": [False],
        "latency_seconds": [0.01],
        "origin": ["event"],
    }
    first = _fill(schema.IMPRESSIONS, columns, rows=1)
    months = pa.array(["2026-01"])
    older = first.drop_columns(["segment_version"]).append_column(pa.field("month", pa.string()), months)
    uri, options = f"{lake.place.root}/impressions", lake.place.options
    write_deltalake(uri, older, partition_by=["month"], storage_options=options)

    assert lake.read("impressions").equals(first)
    later = {**columns, "request_id": ["q2"], "timestamp": [_hour(24 * 40)], "segment_version": [3]}
    second = _fill(schema.IMPRESSIONS, later, rows=1)
    lake.append("impressions", second)
    assert lake.read("impressions").equals(pa.concat_tables([first, second]))
    assert lake.read("impressions", end=_hour(1)).equals(first)
    assert lake.read("impressions", version=0, columns=["segment_version"])["segment_version"].to_pylist() == [None]
