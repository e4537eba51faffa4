"""Accounts whose events are held back: named and let go by people, asked for by whoever writes interactions.

An account is kept by its user key. What people name it by is its label, which tells neither the id nor the key.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Column, String, Table, Text, delete, select

from infra.columns import BigKey, Moment, metadata
from infra.database import Database
from infra.event_records import user_key
from infra.tombstones import tombstone
from recmodels.errors import StoreError

held_accounts = Table(
    "held_accounts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("user_key", String, nullable=False, unique=True),
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

REASON: Final = "account held back"
"""What the reason of every row of a held account begins with, in the quarantine."""
_LABEL: Final = 12


@dataclass(frozen=True)
class HeldAccount:
    """One account that is held back.

    Attributes:
        user_key: Whose.
        reason: What each of its rows has for a reason in the quarantine; another one each time that it is held back.
        by: Who decided it.
        why: What that person wrote.
        at: When.
    """

    user_key: str
    reason: str
    by: str
    why: str
    at: datetime

    @property
    def label(self) -> str:
        """What people name it by."""
        return label_of(self.user_key)


def label_of(user_key: str) -> str:
    """Return 12 hexadecimal digits that stand for an account and tell neither its id nor its key."""
    return tombstone(user_key)[:_LABEL]


class HeldAccounts:
    """The accounts that are held back, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, findings: Mapping[str, str], *, by: str, why: str, now: datetime) -> int:
        """Hold accounts back; one that is held already stays as it is.

        Args:
            findings: What was found about each account, by its user key.
            by: Who decides.
            why: Why.
            now: The moment.

        Returns:
            How many are held back now that were not.
        """
        since = f"{REASON} at {now:%Y-%m-%dT%H:%M:%S.%fZ}"
        rows = [
            {"user_key": key, "reason": f"{since}: {words}", "by": by, "why": why, "at": now}
            for key, words in findings.items()
        ]
        with self._database.begin(lock="held accounts") as connection:
            return self._database.insert_new(connection, held_accounts, rows) if rows else 0

    def accounts(self) -> list[HeldAccount]:
        """Return every account that is held back, the newest first."""
        columns = [held_accounts.c[name] for name in ("user_key", "reason", "by", "why", "at")]
        query = select(*columns).order_by(held_accounts.c.at.desc(), held_accounts.c.user_key)
        with self._database.read() as connection:
            return [HeldAccount(**row._mapping) for row in connection.execute(query)]

    def let_go(self, user_keys: Collection[str]) -> int:
        """Hold accounts back no more, and return how many were."""
        with self._database.begin(lock="held accounts") as connection:
            statements = (delete(held_accounts).where(held_accounts.c.user_key == key) for key in sorted(user_keys))
            return sum(connection.execute(statement).rowcount for statement in statements)

    def find(self, name: str, *, secret: bytes) -> HeldAccount:
        """Return the account that a person names: by its label or how that begins, by its user key, or by its id.

        Raises:
            StoreError: None is held back by that name, or several are; the name is not repeated, it may be an id.
        """
        accounts, key = self.accounts(), user_key(name, secret)
        exact = [one for one in accounts if one.user_key in (name, key)]
        found = exact or [one for one in accounts if name and one.label.startswith(name)]
        if len(found) != 1:
            count = "several accounts are" if found else "no account is"
            raise StoreError(
                f"{count} held back by the name that was given; expected a label as `everfeed quarantine accounts` "
                f"shows it (12 hexadecimal digits, or how they begin), a user key, or a user id. "
                f"{len(accounts)} are held back."
            )
        return found[0]

    def among(self, user_ids: pa.ChunkedArray, *, secret: bytes) -> dict[str, HeldAccount]:
        """Return which of these users' accounts are held back, by the raw id; each user costs one hash.

        Args:
            user_ids: Raw ids, as often as they come; nulls pass.
            secret: Key of the user keys.
        """
        held = {one.user_key: one for one in self.accounts()}
        if not held:
            return {}
        known = pc.unique(user_ids.cast(pa.string())).drop_null().to_pylist()
        pairs = ((user_id, held.get(user_key(user_id, secret))) for user_id in known)
        return {user_id: account for user_id, account in pairs if account is not None}
