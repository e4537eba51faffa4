"""Batch -> lake: windows are replaced, never doubled; what breaks a rule is kept apart; what fails reaches nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest
from flows.references import Batch, Screened, Snapshot
from flows.validate import read_data_set, screen, store, validate
from flows.wiring import Platform, connect
from infra.settings import Settings
from recmodels.data.schema import EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.errors import DataError, StoreError, ValidationFailedError
from tests.flows.homes import at_home

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
FAR = datetime(2999, 1, 1, tzinfo=UTC)
ROWS_A_DAY = 40


@dataclass(frozen=True)
class Shop:
    """A home after three days were ingested, then two more, then a corrected second and third day with two bad rows."""

    home: Platform
    three_days: Snapshot
    five_days: Snapshot
    corrected: Snapshot
    folder: Path
    newest: Batch
    screened: Screened


@pytest.fixture(scope="module")
def shop(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with at_home(folder / "home", server, mlflow=mlflow_template) as settings:
        three_days = validate(_batch(folder, _events(0, 1, 2)))
        five_days = validate(_batch(folder, _events(3, 4)))
        bad = _rows(["future", "nobody"], ["u1", ""], ["i1", "i2"], [FAR, FIRST + timedelta(days=1)])
        batch = _batch(folder, pa.concat_tables([_events(1, 2, seed=9), bad]))
        screened = screen(batch)
        corrected = store(batch, screened)
        yield Shop(connect(settings), three_days, five_days, corrected, folder, batch, screened)


def _rows(event_ids: list[str], users: list[str], items: list[str], moments: list[datetime]) -> pa.Table:
    times = pa.array(moments, pa.timestamp("us", tz="UTC"))
    return pa.table({EVENT_ID: event_ids, USER_ID: users, ITEM_ID: items, TIMESTAMP: times})


def _events(*days: int, seed: int = 0) -> pa.Table:
    """Events on the given days of January 2024; an event id says its day and its number."""
    rng = np.random.default_rng(seed)
    places = [(day, number) for day in days for number in range(ROWS_A_DAY)]
    return _rows(
        [f"{day}-{number}" for day, number in places],
        [f"u{n}" for n in rng.integers(0, 10, len(places))],
        [f"i{n}" for n in rng.integers(0, 20, len(places))],
        [FIRST + timedelta(days=day, minutes=30 * number) for day, number in places],
    )


def _batch(folder: Path, events: pa.Table, *, name: str = "shop") -> Batch:
    path = folder / "events.parquet"
    pq.write_table(events, path)
    return ingest("table", path, {}, name)


def _of_day(rows: pa.Table, day: int) -> list[str]:
    chosen = rows.filter(pc.starts_with(rows[EVENT_ID], f"{day}-")).sort_by(EVENT_ID)
    items: list[str] = chosen[ITEM_ID].to_pylist()
    return items


def test_rows_are_added_without_duplicates_when_a_later_window_comes(shop: Shop) -> None:
    assert (shop.three_days.interactions, shop.five_days.interactions) == (3 * ROWS_A_DAY, 5 * ROWS_A_DAY)
    rows = shop.home.lake.read("interactions", version=shop.five_days.versions["interactions"])
    assert pc.count_distinct(rows[EVENT_ID]).as_py() == rows.num_rows == 5 * ROWS_A_DAY
    assert shop.five_days.fingerprint != shop.three_days.fingerprint
    assert shop.five_days.as_of == FIRST + timedelta(days=4, minutes=30 * (ROWS_A_DAY - 1))


def test_an_older_snapshot_reads_as_it_was_when_newer_data_came(shop: Shop) -> None:
    rows = shop.home.lake.read("interactions", version=shop.three_days.versions["interactions"])
    assert rows.num_rows == shop.three_days.interactions


def test_a_window_is_replaced_when_it_is_ingested_again(shop: Shop) -> None:
    rows = shop.home.lake.read("interactions")
    assert rows.num_rows == shop.corrected.interactions == 5 * ROWS_A_DAY
    for day, seed in ((0, 0), (1, 9), (2, 9)):
        whole = _events(0, 1, 2) if seed == 0 else _events(1, 2, seed=seed)
        assert _of_day(rows, day) == _of_day(whole, day)


def test_newer_rows_stay_when_a_quarantined_row_is_of_the_future(shop: Shop) -> None:
    rows = shop.home.lake.read("interactions")
    assert _of_day(rows, 4) == _of_day(_events(3, 4), 4)
    assert pc.max(rows[TIMESTAMP]).as_py() == shop.five_days.as_of


def test_rows_are_kept_apart_with_their_reasons_when_they_break_a_rule(shop: Shop) -> None:
    assert shop.corrected.quarantined == 2
    quarantine = shop.home.lake.read("quarantine")
    words = sorted(str(row) for row in quarantine.to_pylist())
    assert len(words) == 2
    assert "future" in words[0] + words[1]
    assert "nobody" in words[0] + words[1]


def test_nothing_is_written_when_a_stored_batch_comes_again(shop: Shop) -> None:
    versions = [shop.home.lake.version(name) for name in ("interactions", "items", "users", "quarantine")]
    assert store(shop.newest, shop.screened).fingerprint == shop.corrected.fingerprint
    assert [shop.home.lake.version(name) for name in ("interactions", "items", "users", "quarantine")] == versions


def test_nothing_reaches_the_lake_when_a_table_fails(shop: Shop) -> None:
    nameless = _events(5, 6)
    users = pa.array([""] * ROWS_A_DAY + nameless[USER_ID].to_pylist()[ROWS_A_DAY:])
    nameless = nameless.set_column(nameless.schema.get_field_index(USER_ID), USER_ID, users)
    version = shop.home.lake.version("interactions")
    with pytest.raises(ValidationFailedError, match="50"):
        validate(_batch(shop.folder, nameless))
    assert shop.home.lake.version("interactions") == version


def test_another_data_set_is_refused_when_the_home_holds_one(shop: Shop) -> None:
    other = shop.newest.model_copy(update={"name": "cinema"})
    version = shop.home.lake.version("interactions")
    with pytest.raises(StoreError, match="holds the data set 'shop', and 'cinema'"):
        validate(other)
    assert read_data_set(shop.home).name == "shop"
    assert shop.home.lake.version("interactions") == version


def test_reading_the_data_set_says_what_to_do_when_nothing_was_ingested(home: Settings) -> None:
    with pytest.raises(StoreError, match="everfeed run"):
        read_data_set(connect(home))


def test_late_rows_join_their_day_and_every_other_row_stays_when_a_batch_has_them(shop: Shop) -> None:
    before = shop.home.lake.read("interactions")
    late = _rows(["late"], ["u1"], ["i1"], [FIRST + timedelta(hours=5)])
    snapshot = validate(_batch(shop.folder, pa.concat_tables([late, _events(5)])))
    after = shop.home.lake.read("interactions")
    assert after.num_rows == before.num_rows + 1 + ROWS_A_DAY
    assert after.filter(pc.is_in(after[EVENT_ID], value_set=before[EVENT_ID].combine_chunks())).equals(before)
    assert snapshot.as_of == FIRST + timedelta(days=5, minutes=30 * (ROWS_A_DAY - 1))


def test_the_expectations_are_recorded_when_data_was_held_to_them(shop: Shop, tmp_path: Path) -> None:
    digest = read_data_set(shop.home).expectations
    assert digest == shop.corrected.expectations != ""
    suite = tmp_path / "users.py"
    suite.write_text("from monitoring.expectations.users import suite  # noqa: F401 - held to as it is\n")
    path = tmp_path / "events.parquet"
    pq.write_table(_events(4), path)
    snapshot = validate(ingest("table", path, {}, "shop", suites=[suite]))
    assert snapshot.expectations not in ("", digest)
    assert list(read_data_set(shop.home).suites) == [suite]


def test_a_batch_is_stopped_when_its_suite_changed_after_it_was_named(shop: Shop, tmp_path: Path) -> None:
    suite = tmp_path / "users.py"
    suite.write_text("from monitoring.expectations.users import suite\n")
    path = tmp_path / "events.parquet"
    pq.write_table(_events(4), path)
    batch = ingest("table", path, {}, "shop", suites=[suite])
    suite.write_text("from monitoring.expectations.users import suite  # changed\n")
    with pytest.raises(DataError, match="is not the suite that was used"):
        validate(batch)
