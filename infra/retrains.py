"""Which retrains drift asked for, why, and what came of them: the memory of cool-down and weekly budget.

A retrain is written down before it is started, under a key that the same cause has all day, and started by whoever
claims it: a process that dies in between leaves a row that the next one takes up, and never a second retrain.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Row,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from infra.columns import BigKey, Moment, metadata
from infra.database import Database
from recmodels.errors import StoreError

GIVEN_UP: Final = timedelta(hours=12)
"""A retrain that began so long ago and has not ended died with its process: another may take it up."""

retrains = Table(
    "retrains",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("retrain_id", String, nullable=False, unique=True),
    Column("incident_ids", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("learns_from", Moment, nullable=True),
    Column("requested_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=True),
    Column("ended_at", Moment, nullable=True),
    Column("outcome", String, nullable=False),
    Column("version", Integer, nullable=True),
    Column("words", Text, nullable=False),
)


@dataclass(frozen=True)
class Retrain:
    """One retrain.

    Attributes:
        number: Grows from one retrain to the next.
        retrain_id: Its key: the day, and a digest of the incidents.
        incident_ids: The incidents that caused it.
        reason: The policy's words.
        learns_from: Events from this moment on are learned from; None for all there are.
        requested_at: When the policy asked for it: cool-down and budget count from here.
        started_at: When a lifecycle began for it; None while it waits.
        ended_at: When that ended; None before.
        outcome: ``"challenger"``, ``"refused"``, ``"failed"``; empty before it ended.
        version: Version of its model; None where there is none.
        words: What came of it.
    """

    number: int
    retrain_id: str
    incident_ids: tuple[str, ...]
    reason: str
    learns_from: datetime | None
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    version: int | None
    words: str

    @property
    def state(self) -> str:
        """Where it stands: ``"waiting"``, ``"running"``, or what it came to."""
        return self.outcome or ("waiting" if self.started_at is None else "running")

    @property
    def cause(self) -> str:
        """Why, in words: what runs, model versions and rollouts carry."""
        return f"retrain {self.retrain_id}, incidents {', '.join(self.incident_ids)}: {self.reason}"


class RetrainStore:
    """The retrains, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(
        self,
        incident_ids: Sequence[str],
        *,
        reason: str,
        learns_from: datetime | None,
        now: datetime,
        seen: int,
    ) -> Retrain | None:
        """Write down that a retrain is wanted.

        Args:
            incident_ids: What caused it.
            reason: The policy's words.
            learns_from: Events from this moment on are to be learned from; None for all there are.
            now: The moment of the decision.
            seen: Number of the newest retrain that the decision knew of, 0 for none.

        Returns:
            The retrain; the one that was there, where these incidents asked for one today already. None where another
            one was asked for since the decision read what there is: cool-down and budget must be asked again.
        """
        retrain_id = _key(incident_ids, now)
        row: dict[str, object] = {
            "retrain_id": retrain_id,
            "incident_ids": msgspec.json.encode(sorted(incident_ids)).decode(),
            "reason": reason,
            "learns_from": learns_from,
            "requested_at": now,
            "outcome": "",
            "words": "",
        }
        with self._database.begin(lock="retrains") as connection:
            known = connection.execute(select(retrains).where(retrains.c.retrain_id == retrain_id)).one_or_none()
            if known is not None:
                return _retrain(known)
            if (connection.execute(select(func.max(retrains.c.id))).scalar() or 0) != seen:
                return None
            connection.execute(insert(retrains).values(row))
            return _retrain(connection.execute(select(retrains).where(retrains.c.retrain_id == retrain_id)).one())

    def claim(self, retrain_id: str, *, now: datetime) -> Retrain | None:
        """Begin a retrain; None when somebody else has begun it, or it has ended.

        Raises:
            StoreError: There is no such retrain.
        """
        mine = and_(retrains.c.retrain_id == retrain_id, _is_free(now))
        with self._database.begin(lock="retrains") as connection:
            is_claimed = connection.execute(update(retrains).where(mine).values(started_at=now)).rowcount == 1
            row = connection.execute(select(retrains).where(retrains.c.retrain_id == retrain_id)).one_or_none()
        if row is None:
            raise StoreError(f"there is no retrain {retrain_id!r}. `everfeed retrains list` shows those there are.")
        return _retrain(row) if is_claimed else None

    def end(self, retrain_id: str, *, now: datetime, outcome: str, words: str, version: int | None = None) -> None:
        """Write down what came of a retrain."""
        values = {"ended_at": now, "outcome": outcome, "words": words, "version": version}
        with self._database.begin(lock="retrains") as connection:
            connection.execute(update(retrains).where(retrains.c.retrain_id == retrain_id).values(values))

    def unstarted(self, *, now: datetime) -> list[Retrain]:
        """Return what was asked for and nobody works on, the oldest first."""
        return self._read(_is_free(now))[::-1]

    def all(self) -> list[Retrain]:
        """Return every retrain, the newest first."""
        return self._read(true())

    def _read(self, condition: ColumnElement[bool]) -> list[Retrain]:
        with self._database.read() as connection:
            rows = connection.execute(select(retrains).where(condition).order_by(retrains.c.id.desc())).all()
        return [_retrain(row) for row in rows]


def _is_free(now: datetime) -> ColumnElement[bool]:
    """What nobody works on, and what died with its process."""
    is_idle = or_(retrains.c.started_at.is_(None), retrains.c.started_at <= now - GIVEN_UP)
    return and_(retrains.c.ended_at.is_(None), is_idle)


def _key(incident_ids: Sequence[str], now: datetime) -> str:
    digest = hashlib.sha256("|".join(sorted(incident_ids)).encode()).hexdigest()
    return f"{now:%Y-%m-%d}-{digest[:8]}"


def _retrain(row: Row[Any]) -> Retrain:
    values = dict(row._mapping)
    values["incident_ids"] = tuple(msgspec.json.decode(values["incident_ids"], type=list[str]))
    return Retrain(number=values.pop("id"), **values)
