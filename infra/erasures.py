"""Erasures: what the database forgets of a user at once, and the receipt that is kept of it, which names nobody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update

from infra.database import Database
from infra.event_records import outcomes, requests, user_keys
from infra.held_accounts import held_accounts
from infra.histories import histories
from infra.shadow_records import shadow_answers
from infra.tombstones import Tombstones, erasures, tombstone
from recmodels.errors import StoreError

DATABASE: Final = "database"
"""What the names of the database's tables begin with among the stores of a receipt."""


@dataclass(frozen=True)
class Containing:
    """A model that learned from the user.

    Attributes:
        digest: Its bundle.
        version: Its version in the registry; None for one that was never registered.
        recipe: Name of its recipe.
        stage: ``champion``, ``challenger``, ``archived`` or ``candidate``, when the receipt was written.
    """

    digest: str
    version: int | None
    recipe: str
    stage: str


@dataclass(frozen=True)
class Check:
    """One thing that was looked at after the erasure.

    Attributes:
        name: What.
        passed: Whether nothing was found.
        words: What was seen.
    """

    name: str
    passed: bool
    words: str


@dataclass(frozen=True)
class Receipt:
    """What an erasure did. Neither the id nor the key of the user stands in it.

    Attributes:
        erasure_id: The user's tombstone.
        by: Who asked for it.
        asked_at: When; serving knows nothing of the user from then on.
        completed_at: When everything was done and looked at; None before.
        was_known: Anything about the user was found.
        rows: Rows removed, by store; those without any are left out.
        versions: First version of each table of the lake that can still be read; those before it are erased.
        models: Models that learned from the user.
        until: When the next training begins whose model cannot contain the user; None where no model does.
        retrain_id: The retrain that was asked for; empty for none.
        checks: What was looked at afterwards.
        notes: What a person must know or do besides.
    """

    erasure_id: str
    by: str
    asked_at: datetime
    completed_at: datetime | None = None
    was_known: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    models: tuple[Containing, ...] = ()
    until: datetime | None = None
    retrain_id: str = ""
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def with_rows(self, found: Mapping[str, int]) -> "Receipt":
        """Return the receipt with rows that a pass found; of two passes over a store the larger number stands."""
        rows = {name: max(count, self.rows.get(name, 0)) for name, count in found.items() if count}
        return replace(self, rows={**self.rows, **rows}, was_known=self.was_known or bool(rows))


class ErasureStore:
    """Erasures and their receipts, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tombstones = Tombstones(database)

    def begin(self, user_key: str, *, by: str, now: datetime) -> Receipt:
        """Set the tombstone and delete every row about a user, in one transaction; doing it again deletes late rows.

        When this returns, no answer of any gateway process is made from the user's history: each reads it anew.

        Args:
            user_key: The user's key.
            by: Who asks; the first one stays in the receipt.
            now: The moment.
        """
        name = tombstone(user_key)
        with self._database.begin(lock="erasures") as connection:
            found = connection.execute(select(erasures.c.receipt).where(erasures.c.tombstone == name)).scalar()
            if found is None:
                first = Receipt(name, by, now)
                row = {"tombstone": name, "asked_at": now, "receipt": msgspec.json.encode(first).decode()}
                connection.execute(insert(erasures).values(row))
            receipt = first if found is None else _decode(found)
            removed = _delete(connection, user_key)
            rows = {name: receipt.rows.get(name, 0) + count for name, count in removed.items()}
            receipt = receipt.with_rows(rows)
            _write(connection, receipt)
        return receipt

    def note(self, erasure_id: str, change: Callable[[Receipt], Receipt]) -> Receipt:
        """Change a receipt, and return it.

        Raises:
            StoreError: There is no such erasure.
        """
        with self._database.begin(lock="erasures") as connection:
            receipt = change(_read(connection, erasure_id))
            _write(connection, receipt)
        return receipt

    def receipt(self, erasure_id: str) -> Receipt:
        """Return a receipt by its id, or by how that begins.

        Raises:
            StoreError: There is none, or more than one.
        """
        with self._database.read() as connection:
            return _read(connection, erasure_id)

    def receipts(self) -> list[Receipt]:
        """Return every receipt, the newest first."""
        query = select(erasures.c.receipt).order_by(erasures.c.id.desc())
        with self._database.read() as connection:
            return [_decode(text) for text in connection.execute(query).scalars()]

    def containing(self) -> frozenset[str]:
        """Return the digests of the bundles that an erased user is still in."""
        return frozenset(model.digest for receipt in self.receipts() for model in receipt.models)

    def count(self, user_key: str) -> dict[str, int]:
        """Return how many rows each table has about a user; tables without any are left out."""
        with self._database.read() as connection:
            counted = {
                table.name: connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
                for table, condition in _about(user_key)
            }
        return {name: count for name, count in counted.items() if count}


def _about(user_key: str) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return the rows about a user by table; comparisons come before the requests, which alone lead to them."""
    own = select(requests.c.request_id).where(requests.c.user_key == user_key)
    return [
        (shadow_answers, shadow_answers.c.request_id.in_(own)),
        (outcomes, outcomes.c.user_key == user_key),
        (requests, requests.c.user_key == user_key),
        (histories, histories.c.user_key == user_key),
        (held_accounts, held_accounts.c.user_key == user_key),
        (user_keys, user_keys.c.user_key == user_key),
    ]


def _delete(connection: Connection, user_key: str) -> dict[str, int]:
    return {
        f"{DATABASE}.{table.name}": connection.execute(delete(table).where(condition)).rowcount
        for table, condition in _about(user_key)
    }


def _read(connection: Connection, erasure_id: str) -> Receipt:
    query = select(erasures.c.receipt).where(erasures.c.tombstone.startswith(erasure_id, autoescape=True)).limit(2)
    found = connection.execute(query).scalars().all()
    if len(found) != 1:
        count = "more than one erasure begins with" if found else "there is no erasure"
        raise StoreError(f"{count} {erasure_id!r}. `everfeed forget --list` shows those there are.")
    return _decode(found[0])


def _write(connection: Connection, receipt: Receipt) -> None:
    values = {"receipt": msgspec.json.encode(receipt).decode(), "completed_at": receipt.completed_at}
    connection.execute(update(erasures).where(erasures.c.tombstone == receipt.erasure_id).values(values))


def _decode(text: str) -> Receipt:
    return msgspec.json.decode(text, type=Receipt)
