"""Source -> batch: named by its whole content, written once, refused when it holds nothing."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest
from infra.settings import Settings
from infra.tenants import QuotaExceededError
from recmodels.data.schema import CATEGORY, EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.data.sources import SOURCES
from recmodels.errors import DataError, SourceError


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a company's own export: interactions and items."""
    folder = tmp_path_factory.mktemp("export")
    tables = SOURCES.module("synthetic").read(None, users=30, items=20, creators=5, days=3)
    pq.write_table(tables.interactions, folder / "events.parquet")
    pq.write_table(tables.items, folder / "items.parquet")
    return folder


def test_batch_is_written_once_when_the_same_content_comes_again(home: Settings, export: Path) -> None:
    options = {"items": str(export / "items.parquet")}
    first = ingest("table", export / "events.parquet", options)
    written = (first.folder / "interactions.parquet").stat().st_mtime_ns
    again = ingest("table", export / "events.parquet", options)
    assert again == first
    assert (again.folder / "interactions.parquet").stat().st_mtime_ns == written
    assert first.interactions == pq.read_metadata(export / "events.parquet").num_rows


def test_batch_is_another_one_when_only_the_items_changed(home: Settings, export: Path, tmp_path: Path) -> None:
    items = pq.read_table(export / "items.parquet")
    place = items.schema.get_field_index(CATEGORY)
    renamed = items.set_column(place, CATEGORY, pa.array(["renamed"] * items.num_rows, items.schema.field(place).type))
    pq.write_table(renamed, tmp_path / "renamed.parquet")
    first = ingest("table", export / "events.parquet", {"items": str(export / "items.parquet")})
    second = ingest("table", export / "events.parquet", {"items": str(tmp_path / "renamed.parquet")})
    assert second.folder != first.folder
    assert pq.read_table(second.folder / "items.parquet")[CATEGORY].unique().to_pylist() == ["renamed"]


def test_an_event_is_kept_once_when_it_was_delivered_twice(home: Settings, export: Path, tmp_path: Path) -> None:
    events = pq.read_table(export / "events.parquet")
    pq.write_table(pa.concat_tables([events, events.slice(0, 10)]), tmp_path / "events.parquet")
    batch = ingest("table", tmp_path / "events.parquet")
    assert (batch.interactions, batch.duplicates) == (events.num_rows, 10)
    staged = pq.read_table(batch.folder / "interactions.parquet", columns=[EVENT_ID])
    assert pc.count_distinct(staged[EVENT_ID]).as_py() == events.num_rows


def test_as_of_is_the_last_past_event_when_a_later_one_is_in_the_future(
    home: Settings, export: Path, tmp_path: Path
) -> None:
    events = pq.read_table(export / "events.parquet")
    newest = pc.max(events[TIMESTAMP]).as_py()
    text = "user_id,item_id,timestamp\n" + "".join(
        f"{user},{item},{moment}\n"
        for user, item, moment in [("u1", "i1", newest.isoformat()), ("u1", "i2", "2999-01-01T00:00:00+00:00")]
    )
    path = tmp_path / "events.csv"
    path.write_text(text)
    batch = ingest("table", path, {"timestamp_unit": "iso"})
    assert batch.as_of == newest
    assert batch.last_at.year == 2999
    assert pq.read_table(batch.folder / "interactions.parquet", columns=[USER_ID, ITEM_ID]).num_rows == 2


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", "", "empty"),
        ("headed.csv", "user_id,item_id,timestamp\n", "no"),
        ("short.csv", "user_id,timestamp\nu1,2024-01-01\n", "item_id"),
        ("torn.parquet", "PAR1 and then nothing", "torn.parquet"),
    ],
)
def test_ingest_says_what_is_wrong_when_the_file_is_of_no_use(
    home: Settings, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises((SourceError, DataError), match=expected):
        ingest("table", tmp_path / name, {"timestamp_unit": "iso"})
    assert not (home.root / "staging").exists()


def test_nothing_is_ingested_when_the_lake_is_over_its_quota(
    home: Settings, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Path(home.lake) / "interactions" / "part.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 3000)
    monkeypatch.setenv("EVERFEED_QUOTAS", '{"lake_megabytes": 0.002}')
    with pytest.raises(QuotaExceededError, match="nothing was ingested"):
        ingest("table", export / "events.parquet", {"items": str(export / "items.parquet")})
    assert not (home.root / "staging").exists()
