import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from infra.event_records import requests
from infra.events import EventStore, Outcome, ServedRequest
from infra.histories import HistoryStore
from infra.serving.clicks import Clicks
from infra.serving.eventlog import EventLog, LogFullError
from recmodels.errors import StoreError
from tests.infra.gateway_home import Home


def served(number: int) -> ServedRequest:
    return ServedRequest(
        request_id=f"request-{number}",
        timestamp=datetime.now(UTC),
        user_key="key",
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=("a",),
        scores=(1.0,),
        propensities=(1.0,),
        num_requested=1,
        latency_seconds=0.001,
    )


def clicked(number: int) -> Outcome:
    return Outcome(f"event-{number}", f"request-{number}", "a", "clicked", 1.0, datetime.now(UTC))


def make(home: Home, **options: int) -> EventLog:
    events = EventStore(home.database)
    return EventLog(events, Clicks(HistoryStore(home.database)), **options)


@pytest.fixture
def log(home: Home) -> Iterator[EventLog]:
    made = make(home)
    made.start()
    yield made
    made.stop()


def stored(home: Home) -> int:
    with home.database.read() as connection:
        return len(connection.execute(select(requests.c.id)).all())


def rename(home: Home, old: str, new: str) -> None:
    with home.database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_everything_queued_is_written_before_it_stops(home: Home) -> None:
    log = make(home)
    for number in range(2500):  # more than one group
        log.record(served(number))
    log.start()

    log.stop()

    assert (stored(home), log.written, log.lost, log.depth) == (2500, 2500, 0, 0)


def test_answers_are_durable_within_10_ms_of_traffic_and_a_commit(home: Home, log: EventLog) -> None:
    log.record(served(1))

    deadline = time.monotonic() + 2
    while stored(home) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_feedback_on_an_answer_in_the_same_group_is_accepted(log: EventLog) -> None:
    async def answer_and_click() -> int:
        log.record(served(1))
        return (await log.report([clicked(1)])).accepted

    assert asyncio.run(answer_and_click()) == 1


def test_each_client_hears_of_its_own_events_when_reports_share_a_group(log: EventLog) -> None:
    async def together() -> list[tuple[int, int, int]]:
        log.record(served(1))
        log.record(served(2))
        reports = [[clicked(1)], [clicked(2), clicked(3)], [clicked(1)]]
        receipts = await asyncio.gather(*[log.report(report) for report in reports])
        return [(receipt.accepted, receipt.duplicates, len(receipt.rejected)) for receipt in receipts]

    assert asyncio.run(together()) == [(1, 0, 0), (1, 0, 1), (0, 1, 0)]


def test_refuses_when_the_queue_is_full(home: Home) -> None:
    log = make(home, limit=2)
    log.record(served(1))
    log.record(served(2))

    with pytest.raises(LogFullError):
        log.record(served(3))
    with pytest.raises(LogFullError):
        asyncio.run(log.report([clicked(1)]))

    log.start()
    log.stop()
    assert stored(home) == 2


def test_answers_wait_for_a_store_that_fails_and_feedback_is_told(home: Home, log: EventLog) -> None:
    rename(home, "outcomes", "gone")
    log.record(served(1))
    with pytest.raises(StoreError):
        asyncio.run(log.report([clicked(1)]))
    rename(home, "gone", "outcomes")
    rename(home, "requests", "gone")
    log.record(served(2))
    time.sleep(0.1)
    rename(home, "gone", "requests")

    assert asyncio.run(log.report([clicked(2)])).accepted == 1
    assert stored(home) == 2
