"""Batch -> lake: windows are replaced, never doubled; what breaks a rule is kept apart; what fails reaches nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.references import Snapshot
from flows.validate import read_data_set
from flows.wiring import connect
from infra.settings import Settings
from recmodels.data.schema import EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.errors import StoreError, ValidationFailedError
from tests.flows.homes import Data, ingested

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def _events(*days: int, seed: int = 0, rows_a_day: int = 40) -> pa.Table:
    """Events on the given days of January 2024; an event id says its day and its number."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.array(days), rows_a_day)
    number = np.tile(np.arange(rows_a_day), len(days))
    moments = [FIRST + timedelta(days=int(d), minutes=30 * int(n)) for d, n in zip(day, number, strict=True)]
    return pa.table(
        {
            EVENT_ID: [f"{d}-{n}" for d, n in zip(day, number, strict=True)],
            USER_ID: [f"u{n}" for n in rng.integers(0, 10, len(day))],
            ITEM_ID: [f"i{n}" for n in rng.integers(0, 20, len(day))],
            TIMESTAMP: pa.array(moments, pa.timestamp("us", tz="UTC")),
        }
    )


def _ingest(folder: Path, events: pa.Table, *, name: str = "shop") -> Snapshot:
    path = folder / "events.parquet"
    pq.write_table(events, path)
    return ingested(Data(source="table", path=path, name=name))


def _lake(settings: Settings) -> pa.Table:
    return connect(settings).lake.read("interactions").sort_by(EVENT_ID)


def test_a_later_window_is_added_without_duplicates(home: Settings, tmp_path: Path) -> None:
    first = _ingest(tmp_path, _events(0, 1, 2))
    second = _ingest(tmp_path, _events(3, 4))
    assert (first.interactions, second.interactions) == (120, 200)
    assert pc.count_distinct(_lake(home)[EVENT_ID]).as_py() == 200
    assert second.fingerprint != first.fingerprint
    assert second.as_of == FIRST + timedelta(days=4, minutes=30 * 39)


def test_a_window_is_replaced_when_it_is_ingested_again(home: Settings, tmp_path: Path) -> None:
    _ingest(tmp_path, _events(0, 1, 2, 3, 4))
    corrected = _events(1, 2, seed=9)
    snapshot = _ingest(tmp_path, corrected)
    rows = _lake(home)
    assert snapshot.interactions == rows.num_rows == 200
    window = rows.filter(pc.starts_with(rows[EVENT_ID], "1-"))
    expected = corrected.filter(pc.starts_with(corrected[EVENT_ID], "1-")).sort_by(EVENT_ID)
    assert window[ITEM_ID].to_pylist() == expected[ITEM_ID].to_pylist()


def test_no_version_is_written_when_the_same_window_comes_again(home: Settings, tmp_path: Path) -> None:
    first = _ingest(tmp_path, _events(0, 1, 2))
    again = _ingest(tmp_path, _events(0, 1, 2).take(pa.array(np.arange(120)[::-1])))
    assert again == first
    assert again.versions == {"interactions": 0, "items": 0, "users": 0}


def test_newer_rows_stay_when_an_old_window_holds_a_row_from_the_future(home: Settings, tmp_path: Path) -> None:
    _ingest(tmp_path, _events(0, 1, 2, 3, 4))
    spoiled = _events(0, 1)
    future = pa.table(
        {
            EVENT_ID: ["bad"],
            USER_ID: ["u1"],
            ITEM_ID: ["i1"],
            TIMESTAMP: pa.array([datetime(2999, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        }
    )
    snapshot = _ingest(tmp_path, pa.concat_tables([spoiled, future]))
    assert (snapshot.interactions, snapshot.quarantined) == (200, 1)
    quarantine = connect(home).lake.read("quarantine")
    assert quarantine.num_rows == 1
    assert "bad" in str(quarantine.to_pylist()[0])


def test_nothing_reaches_the_lake_when_a_table_fails(home: Settings, tmp_path: Path) -> None:
    _ingest(tmp_path, _events(0, 1, 2))
    spoiled = _events(3, 4)
    place = spoiled.schema.get_field_index(USER_ID)
    nameless = spoiled.set_column(place, USER_ID, pa.array([""] * 40 + spoiled[USER_ID].to_pylist()[40:]))
    with pytest.raises(ValidationFailedError, match="quarantine"):
        _ingest(tmp_path, nameless)
    assert _lake(home).num_rows == 120
    assert connect(home).lake.version("interactions") == 0


def test_another_data_set_is_refused_when_the_home_holds_one(home: Settings, tmp_path: Path) -> None:
    _ingest(tmp_path, _events(0, 1, 2))
    with pytest.raises(StoreError, match="holds the data set 'shop', and 'cinema'"):
        _ingest(tmp_path, _events(3, 4), name="cinema")
    assert read_data_set(connect(home)).name == "shop"
    assert _lake(home).num_rows == 120


def test_reading_the_data_set_says_what_to_do_when_nothing_was_ingested(home: Settings) -> None:
    with pytest.raises(StoreError, match="everfeed run"):
        read_data_set(connect(home))
