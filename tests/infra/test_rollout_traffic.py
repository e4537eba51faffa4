"""What a challenger still answered after it had been taken out of traffic."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from infra.database import Database
from infra.events import EventStore, ServedRequest
from infra.rollout_traffic import SETTLING, StrayTraffic, stray_traffic


@pytest.fixture
def events(database: Database) -> EventStore:
    return EventStore(database)


def _request(number: int, *, at: datetime, arm: str = "canary", rollout_id: str = "r1") -> ServedRequest:
    first = ServedRequest(
        request_id=f"request-{number}",
        timestamp=at,
        user_key=f"user-{number}",
        surface="video",
        model_version="2",
        arm=arm,
        item_ids=("i1",),
        scores=(1.0,),
        propensities=(1.0,),
        num_requested=1,
        latency_seconds=0.01,
    )
    return replace(first, rollout_id=rollout_id, step=0)


def test_only_the_canary_of_the_rollout_counts_after_its_settling_time(
    database: Database, events: EventStore, now: datetime
) -> None:
    assert stray_traffic(database, "r1", changed_at=now) == StrayTraffic(0, None)
    newest = now + SETTLING + timedelta(seconds=2)
    events.append_requests(
        [
            _request(0, at=now - timedelta(seconds=1)),
            _request(1, at=now + SETTLING),
            _request(2, at=now + SETTLING + timedelta(microseconds=1)),
            _request(3, at=newest),
            _request(4, at=newest, arm="control"),
            _request(5, at=newest, rollout_id="r2"),
        ]
    )
    assert stray_traffic(database, "r1", changed_at=now) == StrayTraffic(2, newest)
