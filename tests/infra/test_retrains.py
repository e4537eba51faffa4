"""Retrains are written down once, claimed once, and remembered by every process."""

from datetime import datetime, timedelta

import pytest

from infra.database import Database
from infra.retrains import GIVEN_UP, RetrainStore
from recmodels.errors import StoreError

DAY = timedelta(days=1)


def ask(store: RetrainStore, now: datetime, *, incidents: tuple[str, ...] = ("b", "a"), seen: int = 0):
    return store.request(incidents, reason="clicks fell", learns_from=now - 2 * DAY, now=now, seen=seen)


def test_cause_is_kept_when_a_retrain_is_asked_for(database: Database, now: datetime) -> None:
    asked = ask(RetrainStore(database), now)
    assert asked is not None
    (known,) = RetrainStore(database).all()
    assert known == asked
    assert (known.incident_ids, known.reason, known.learns_from) == (("a", "b"), "clicks fell", now - 2 * DAY)
    assert (known.requested_at, known.started_at, known.ended_at, known.outcome) == (now, None, None, "")
    assert known.retrain_id.startswith(f"{now:%Y-%m-%d}-")
    assert known.cause == f"retrain {known.retrain_id}, incidents a, b: clicks fell"


def test_same_incidents_ask_once_a_day_in_any_order(database: Database, now: datetime) -> None:
    store = RetrainStore(database)
    first = ask(store, now)
    assert first is not None
    again = ask(store, now + timedelta(minutes=1), incidents=("a", "b"), seen=first.number)
    assert again == first
    tomorrow = ask(store, now + DAY, seen=first.number)
    assert tomorrow is not None
    assert tomorrow.retrain_id != first.retrain_id
    assert [one.number for one in store.all()] == [tomorrow.number, first.number]


def test_request_is_refused_when_another_was_made_since_the_decision(database: Database, now: datetime) -> None:
    store = RetrainStore(database)
    assert ask(store, now) is not None
    assert ask(store, now, incidents=("c",), seen=0) is None
    assert len(store.all()) == 1


def test_one_of_two_processes_begins_a_retrain(database: Database, database_again: Database, now: datetime) -> None:
    stores = [RetrainStore(database), RetrainStore(database_again)]
    asked = ask(stores[0], now)
    assert asked is not None
    claims = [store.claim(asked.retrain_id, now=now + timedelta(minutes=n)) for n, store in enumerate(stores)]
    assert claims[0] is not None
    assert claims[0].started_at == now
    assert claims[1] is None
    assert stores[1].unstarted(now=now) == []


def test_request_waits_for_whoever_comes_when_its_process_died(
    database: Database, database_again: Database, now: datetime
) -> None:
    asked = ask(RetrainStore(database), now)
    database.close()
    assert asked is not None
    store = RetrainStore(database_again)
    assert [one.retrain_id for one in store.unstarted(now=now)] == [asked.retrain_id]
    assert store.claim(asked.retrain_id, now=now) is not None
    assert store.unstarted(now=now + GIVEN_UP - timedelta(seconds=1)) == []
    assert [one.retrain_id for one in store.unstarted(now=now + GIVEN_UP)] == [asked.retrain_id]
    assert store.claim(asked.retrain_id, now=now + GIVEN_UP) is not None


def test_nobody_begins_what_has_ended(database: Database, now: datetime) -> None:
    store = RetrainStore(database)
    asked = ask(store, now)
    assert asked is not None
    store.claim(asked.retrain_id, now=now)
    store.end(asked.retrain_id, now=now + DAY, outcome="challenger", words="version 3", version=3)
    assert store.claim(asked.retrain_id, now=now + 9 * DAY) is None
    assert store.unstarted(now=now + 9 * DAY) == []
    (known,) = store.all()
    assert (known.ended_at, known.outcome, known.words, known.version) == (now + DAY, "challenger", "version 3", 3)


def test_error_says_where_to_look_when_there_is_no_such_retrain(database: Database, now: datetime) -> None:
    with pytest.raises(StoreError, match=r"no retrain 'x'.*retrains list"):
        RetrainStore(database).claim("x", now=now)
