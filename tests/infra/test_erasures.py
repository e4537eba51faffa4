"""What the database forgets of a user, and what keeps them out of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pytest

from infra.database import Database
from infra.erasures import Check, Containing, ErasureStore
from infra.events import EventStore, Outcome, ServedRequest, user_key
from infra.histories import HistoryEvent, HistoryStore
from infra.tombstones import Tombstones, tombstone
from recmodels.assignment import Arm
from recmodels.errors import StoreError

Later = Callable[[float], datetime]
SECRET = b"secret"
ANNA, BERT = (user_key(name, SECRET) for name in ("anna", "bert"))


def _served(request_id: str, key: str, now: datetime) -> ServedRequest:
    return ServedRequest(
        request_id, now, key, "video", "1", Arm.REST, ("a", "b"), (2.0, 1.0), (1.0, 1.0), 2, 0.01, user_id=key[:3]
    )


def _fill(database: Database, now: datetime) -> None:
    events, histories = EventStore(database), HistoryStore(database)
    events.append_requests([_served("q1", ANNA, now), _served("q2", BERT, now)])
    events.append_outcomes([Outcome(f"e{n}", f"q{n}", "a", "clicked", 1.0, now) for n in (1, 2)])
    histories.append([HistoryEvent(key, item, now, "video") for key in (ANNA, BERT) for item in ("a", "b")])


def test_every_row_about_a_user_goes_at_once_and_the_others_stay(database: Database, now: datetime) -> None:
    _fill(database, now)
    store = ErasureStore(database)

    receipt = store.begin(ANNA, by="ann", now=now)

    assert receipt.rows == {
        "database.requests": 1,
        "database.outcomes": 1,
        "database.histories": 2,
        "database.user_keys": 1,
    }
    assert (receipt.was_known, receipt.completed_at) == (True, None)
    assert store.count(ANNA) == {}
    assert store.count(BERT) == {"outcomes": 1, "requests": 1, "histories": 2, "user_keys": 1}
    assert ANNA not in str(store.receipts())


def test_an_unknown_user_is_kept_out_too(database: Database, now: datetime) -> None:
    store = ErasureStore(database)
    assert store.begin(ANNA, by="ann", now=now).was_known is False
    assert EventStore(database).append_requests([_served("q1", ANNA, now)]) == 0


def test_nothing_about_an_erased_user_comes_in_again(database: Database, now: datetime) -> None:
    _fill(database, now)
    events, histories = EventStore(database), HistoryStore(database)
    assert events.append_requests([_served("q0", ANNA, now)]) == 1  # a process that knew of nobody until now
    ErasureStore(database).begin(ANNA, by="ann", now=now)

    assert events.append_requests([_served("q3", ANNA, now), _served("q4", BERT, now)]) == 1
    receipt = events.append_outcomes([Outcome("e3", "q3", "a", "clicked", 1.0, now)])
    assert [rejection.event_id for rejection in receipt.rejected] == ["e3"]
    assert histories.append([HistoryEvent(ANNA, "c", now, "video"), HistoryEvent(BERT, "c", now, "video")]) == 1
    rows = {"user_id": ["anna", "bert"], "item_id": ["d", "d"], "timestamp": [now, now], "surface": ["video"] * 2}
    histories.replace_all(pa.table(rows).cast(_TYPES), secret=SECRET)

    assert histories.last(ANNA, limit=9).item_ids == ()
    assert "d" in histories.last(BERT, limit=9).item_ids
    assert ErasureStore(database).count(ANNA) == {}


_TYPES = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("surface", pa.string()),
    ]
)


def test_an_erasure_that_is_begun_again_keeps_who_asked_and_adds_what_came_late(
    database: Database, now: datetime, later: Later
) -> None:
    _fill(database, now)
    store = ErasureStore(database)
    first = store.begin(ANNA, by="ann", now=now)
    again = store.begin(ANNA, by="bob", now=later(60))
    assert again == first
    model = Containing("d" * 64, 3, "ease", "champion")
    noted = store.note(
        first.erasure_id,
        lambda receipt: replace(
            receipt.with_rows({"lake.users": 1, "lake.items": 0}),
            models=(model,),
            checks=(Check("lake", passed=True, words="no rows left"),),
            completed_at=later(9),
        ),
    )
    assert store.receipts() == [noted]
    assert store.receipt(first.erasure_id[:5]) == noted
    assert noted.rows == first.rows | {"lake.users": 1}
    assert store.containing() == {model.digest}
    with pytest.raises(StoreError, match="there is no erasure 'nobody'"):
        store.receipt("nobody")


def test_a_tombstone_tells_neither_id_nor_key_and_filters_rows(database: Database, now: datetime) -> None:
    rows = pa.table({"user_id": ["anna", "bert", None], "n": [1, 2, 3]})
    tombstones = Tombstones(database)
    assert tombstones.without(rows, "user_id", secret=SECRET) is rows
    assert ErasureStore(database).begin(ANNA, by="ann", now=now).erasure_id == tombstone(ANNA)
    assert tombstones.read().tombstones == {tombstone(ANNA)}
    assert ANNA not in tombstone(ANNA)
    assert tombstones.without(rows, "user_id", secret=SECRET)["n"].to_pylist() == [2, 3]
    assert tombstones.without(rows, "user_id", secret=b"another")["n"].to_pylist() == [1, 2, 3]
