"""What one user was shown lately, as the gateway wrote it down, for whoever asks why lists changed."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from infra.columns import from_microseconds
from infra.database import Database
from infra.event_records import requests

SEARCHED = 200_000
"""The newest rows in which a user's are looked for: there is no index by user, which every request would pay for."""


@dataclass(frozen=True)
class ServedList:
    """One list that a user was shown.

    Attributes:
        at: When.
        surface: Where.
        model_version: Whose list; of the model that the user's arm stands for.
        arm: ``canary``, ``control`` or ``rest``.
        rollout_id: The rollout that was active, or None.
        item_ids: The items in order.
        is_fallback: Popular items in the model's place.
        segment_version: Version of the segment of new items, where the list holds one of them; else None.
    """

    at: datetime
    surface: str
    model_version: str
    arm: str
    rollout_id: str | None
    item_ids: tuple[str, ...]
    is_fallback: bool
    segment_version: int | None


def lists_of(database: Database, user_key: str, *, limit: int = 10) -> list[ServedList]:
    """Return the newest lists of a user that are not in the lake yet, the newest first.

    Raises:
        StoreError: The database cannot be read.
    """
    columns = (
        requests.c.timestamp,
        requests.c.surface,
        requests.c.model_version,
        requests.c.arm,
        requests.c.rollout_id,
        requests.c.item_ids,
        requests.c.is_fallback,
        requests.c.segment_version,
    )
    with database.read() as connection:
        newest = connection.execute(select(func.max(requests.c.id))).scalar() or 0
        mine = (requests.c.user_key == user_key, requests.c.id > newest - SEARCHED)
        rows = connection.execute(select(*columns).where(*mine).order_by(requests.c.id.desc()).limit(limit)).all()
    return [
        ServedList(
            at=from_microseconds(row.timestamp),
            surface=row.surface,
            model_version=row.model_version,
            arm=row.arm,
            rollout_id=row.rollout_id,
            item_ids=tuple(json.loads(row.item_ids)),
            is_fallback=row.is_fallback,
            segment_version=row.segment_version,
        )
        for row in rows
    ]
