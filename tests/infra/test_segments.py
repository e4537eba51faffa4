"""The append-only segment of items: versions, retries, newer facts, and safety labels."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from infra.database import Database
from infra.segments import SegmentStore, item_segments
from recmodels.data.schema import ITEMS
from recmodels.errors import DataError


def items(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"safety": "ok", **row} for row in rows], schema=ITEMS)


@pytest.fixture
def store(database: Database) -> SegmentStore:
    return SegmentStore(database)


def ids(store: SegmentStore, **options: int) -> list[str]:
    return store.items(**options).items["item_id"].to_pylist()


def test_is_empty_and_at_version_0_before_the_first_append(store: SegmentStore) -> None:
    segment = store.items()

    assert (store.version(), segment.version, segment.blocked) == (0, 0, frozenset())
    assert segment.items.schema == ITEMS
    assert segment.items.num_rows == 0


def test_keeps_every_fact_and_the_order_of_the_appends(store: SegmentStore, now: datetime) -> None:
    full = {
        "item_id": "b",
        "creator_id": "someone",
        "surface": "live",
        "category": "drama|war",
        "text": "A title",
        "duration_seconds": 12.5,
        "published_at": now,
        "safety": "restricted",
    }

    assert store.append(items(full), by="a test", now=now) == 1
    assert store.append(items({"item_id": "a"}), by="a test", now=now) == 2

    segment = store.items()
    assert segment.version == store.version() == 2
    assert segment.items.to_pylist() == [full, items({"item_id": "a"}).to_pylist()[0]]


def test_a_retry_changes_nothing(store: SegmentStore, database: Database, now: datetime) -> None:
    rows = items({"item_id": "a", "published_at": now}, {"item_id": "b", "duration_seconds": 1.0})

    assert [store.append(rows, by="a test", now=now) for _ in range(3)] == [1, 1, 1]
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(item_segments)).scalar_one() == 2


def test_newer_facts_replace_older_ones_when_read_and_keep_them_in_the_table(
    store: SegmentStore, database: Database, now: datetime
) -> None:
    store.append(items({"item_id": "a", "text": "old"}, {"item_id": "b"}), by="a test", now=now)

    assert store.append(items({"item_id": "a", "text": "new"}, {"item_id": "b"}), by="a test", now=now) == 2

    segment = store.items().items
    assert segment["item_id"].to_pylist() == ["b", "a"]
    assert segment["text"].to_pylist() == [None, "new"]
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(item_segments)).scalar_one() == 3


def test_the_newest_label_says_what_is_blocked(store: SegmentStore, now: datetime) -> None:
    store.append(items({"item_id": "a"}, {"item_id": "b", "safety": "blocked"}), by="a test", now=now)
    assert store.items().blocked == {"b"}

    store.append(items({"item_id": "a", "safety": "blocked"}, {"item_id": "b"}), by="a test", now=now)
    assert store.items().blocked == {"a"}


def test_only_the_newest_items_are_read_but_every_block_holds(store: SegmentStore, now: datetime) -> None:
    store.append(items({"item_id": "bad", "safety": "blocked"}), by="a test", now=now)
    store.append(items(*[{"item_id": f"item-{n}"} for n in range(5)]), by="a test", now=now)

    assert ids(store, limit=2) == ["item-3", "item-4"]
    assert store.items(limit=2).blocked == {"bad"}


@pytest.mark.parametrize("row", [{"item_id": ""}, {"item_id": "a", "safety": "fine"}])
def test_an_item_is_refused_when_it_has_no_id_or_an_unknown_label(
    store: SegmentStore, now: datetime, row: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="ok, restricted, blocked"):
        store.append(items({"item_id": "good"}, row), by="a test", now=now)

    assert store.version() == 0


def test_other_columns_are_refused(store: SegmentStore, now: datetime) -> None:
    with pytest.raises(DataError, match="Expected: item_id, creator_id"):
        store.append(items({"item_id": "a"}).select(["item_id", "safety"]), by="a test", now=now)


def test_versions_of_concurrent_appends_differ(store: SegmentStore, later: Callable[[float], datetime]) -> None:
    with ThreadPoolExecutor(4) as pool:
        versions = list(
            pool.map(lambda n: store.append(items({"item_id": f"i{n}"}), by="a test", now=later(n)), range(8))
        )

    assert sorted(versions) == list(range(1, 9))
    assert sorted(ids(store)) == [f"i{n}" for n in range(8)]
