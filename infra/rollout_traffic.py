"""Whether a challenger that was taken out of traffic still gets some: what the request log says after the change."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, func, select

from infra.columns import from_microseconds, to_microseconds
from infra.database import Database
from infra.event_records import requests
from recmodels.assignment import Arm

SETTLING: Final = timedelta(seconds=5)
"""How long after a change gateways may still act on the row before it: the time in which it must reach all workers."""


@dataclass(frozen=True)
class StrayTraffic:
    """Requests that a challenger answered after it had been taken out of traffic.

    Attributes:
        requests: How many.
        newest_at: The newest of them, or None.
    """

    requests: int
    newest_at: datetime | None


def stray_traffic(database: Database, rollout_id: str, *, changed_at: datetime) -> StrayTraffic:
    """Return what a rollout's challenger answered after a change, its settling time left out."""
    after = to_microseconds(changed_at + SETTLING)
    chosen = and_(requests.c.rollout_id == rollout_id, requests.c.arm == Arm.CANARY.value, requests.c.timestamp > after)
    with database.read() as connection:
        count, newest = connection.execute(select(func.count(), func.max(requests.c.timestamp)).where(chosen)).one()
    return StrayTraffic(int(count), None if newest is None else from_microseconds(newest))
