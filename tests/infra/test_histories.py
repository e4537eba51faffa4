"""What each user did last."""

from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from infra.columns import to_microseconds
from infra.database import Database
from infra.events import user_key
from infra.histories import HistoryEvent, HistoryStore, UserHistory
from recmodels.data.schema import TIMESTAMP_TYPE

SECRET = b"secret"
Later = Callable[[float], datetime]


def _interactions(rows: list[tuple[str, str, datetime]]) -> pa.Table:
    users, items, times = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "timestamp": pa.array(times, TIMESTAMP_TYPE),
            "surface": pa.array(["video"] * len(rows), pa.string()),
        }
    )


def test_history_is_empty_when_the_user_is_unknown(database: Database) -> None:
    assert HistoryStore(database).last("nobody", limit=10) == UserHistory((), ())


def test_last_events_come_oldest_first(database: Database, later: Later) -> None:
    store = HistoryStore(database)
    store.append([HistoryEvent("k", f"i{n}", later(n), "video") for n in (2, 0, 1)])
    store.append([HistoryEvent("other", "i9", later(9), "video")])
    assert store.last("k", limit=2) == UserHistory(("i1", "i2"), (to_microseconds(later(1)), to_microseconds(later(2))))
    assert store.num_users() == 2


def test_some_users_are_distinct_and_have_a_history(database: Database, later: Later) -> None:
    store = HistoryStore(database)
    assert store.some_users(5) == []
    store.append([HistoryEvent(key, f"i{n}", later(n), "video") for n in range(3) for key in ("b", "a", "c")])
    assert store.some_users(2) == ["a", "b"]
    assert len(store.some_users(9)) == 3


def test_event_is_kept_once_when_it_comes_twice(database: Database, now: datetime) -> None:
    store = HistoryStore(database)
    event = HistoryEvent("k", "i1", now, "video")
    assert store.append([event, event]) == 1
    assert store.append([event]) == 0
    assert store.append([]) == 0
    assert store.last("k", limit=10).item_ids == ("i1",)


def test_click_is_seen_by_another_process_at_once(database: Database, database_again: Database, now: datetime) -> None:
    writer, reader = HistoryStore(database), HistoryStore(database_again)
    assert reader.last("k", limit=1).item_ids == ()
    writer.append([HistoryEvent("k", "i1", now, "video")])
    assert reader.last("k", limit=1).item_ids == ("i1",)


def test_length_stays_bounded_when_a_user_does_much(database: Database, later: Later) -> None:
    store = HistoryStore(database, max_length=8)
    for n in range(40):
        store.append([HistoryEvent("k", f"i{n}", later(n), "video")])
    kept = store.last("k", limit=1000).item_ids
    assert 8 <= len(kept) <= 10
    assert kept[-8:] == tuple(f"i{n}" for n in range(32, 40))


def test_interactions_replace_what_is_as_old_as_they_are(database: Database, now: datetime, later: Later) -> None:
    store = HistoryStore(database, max_length=3)
    anna, bert, carl = (user_key(name, SECRET) for name in ("anna", "bert", "carl"))
    store.append(
        [
            HistoryEvent(anna, "old", later(1), "video"),
            HistoryEvent(anna, "live", later(90), "video"),
            HistoryEvent(carl, "old", later(1), "video"),
            HistoryEvent(carl, "live", later(90), "video"),
        ]
    )
    rows = [("anna", f"a{n}", later(n)) for n in (5, 3, 4, 2)] + [("bert", "b1", later(6)), ("bert", "b0", later(6))]
    assert store.replace_all(_interactions(rows), secret=SECRET) == 5
    assert store.last(anna, limit=9).item_ids == ("a3", "a4", "a5", "live")
    assert store.last(bert, limit=9).item_ids == ("b1", "b0")  # at the same time, as the rows stood
    assert store.last(carl, limit=9).item_ids == ("live",)


def test_loading_again_changes_nothing(database: Database, later: Later) -> None:
    store = HistoryStore(database)
    rows = _interactions([("anna", f"i{n}", later(n)) for n in range(4)])
    store.replace_all(rows, secret=SECRET)
    before = store.last(user_key("anna", SECRET), limit=9)
    store.replace_all(rows, secret=SECRET)
    assert store.last(user_key("anna", SECRET), limit=9) == before


def test_nothing_is_lost_when_there_are_no_interactions(database: Database, now: datetime) -> None:
    store = HistoryStore(database)
    store.append([HistoryEvent("k", "i1", now, "video")])
    assert store.replace_all(_interactions([]), secret=SECRET) == 0
    assert store.last("k", limit=1).item_ids == ("i1",)


def test_every_user_is_loaded_whole_when_there_are_several_chunks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.histories._CHUNK_ROWS", 10)
    store = HistoryStore(database)
    rows = [(f"u{n % 7}", f"i{n}", datetime.fromtimestamp(n, UTC)) for n in range(100)]
    assert store.replace_all(_interactions(rows), secret=SECRET) == 100
    for user in range(7):
        expected = tuple(f"i{n}" for n in range(user, 100, 7))
        assert store.last(user_key(f"u{user}", SECRET), limit=1000).item_ids == expected
