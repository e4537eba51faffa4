"""Access tokens: who may look and who may change, by tokens that are shown once and kept as digests."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Column, ColumnElement, Index, String, Table, and_, insert, or_, select, update

from infra.columns import BigKey, Moment, from_microseconds, metadata
from infra.database import Database
from recmodels.errors import StoreError

OWNER: Final = "owner"
"""Name of whoever holds the write token of the home."""

MOST_DAYS: Final = 3650
"""Longest life of a token in days."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=True),
    Column("revoked_at", Moment, nullable=True),
)
Index("ix_access_tokens_name", access_tokens.c.name)


class Role(StrEnum):
    """What a token is for; each role may do what those before it may."""

    VIEWER = "viewer"
    """Looks: pages of the control room, explanations of lists."""
    SERVICE = "service"
    """A front-end server: sends feedback from another machine."""
    OPERATOR = "operator"
    """Changes state: takedowns, items, rollouts, incidents, schedules."""

    def covers(self, needed: "Role") -> bool:
        """Return whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class Caller:
    """Who asks, as its token tells."""

    name: str
    role: Role


@dataclass(frozen=True)
class TokenRecord:
    """What is kept of a token: never the token itself.

    Attributes:
        name: Whose it is, as the audit log names them.
        role: What it allows.
        created_at: When it was made.
        expires_at: When it ends; None for never.
        revoked_at: When it was revoked; None while it was not.
    """

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, *, now: datetime) -> bool:
        """Return whether the token opens anything at a moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class TokenBook:
    """The tokens as they stood when they were read; answers without the database.

    Attributes:
        entries: Digest and record of each token that was not revoked, the write token's first.
    """

    entries: tuple[tuple[bytes, TokenRecord], ...]

    def caller(self, token: str, *, now: datetime) -> Caller | None:
        """Return whose token it is; None where it is unknown, revoked or expired, without telling which.

        Every digest is compared, each in constant time, so that the answer's time tells nothing either.
        """
        given, found = _digest(token), None
        for digest, record in self.entries:
            is_same = hmac.compare_digest(given, digest)
            is_valid = record.is_valid(now=now)
            if is_same and is_valid:
                found = Caller(record.name, record.role)
        return found


class AccessTokens:
    """The tokens of one home, over one database.

    Args:
        database: An open database.
        master: The write token of the home: an operator's, by the name of `OWNER`.

    Raises:
        ValueError: The write token is empty, which would let everybody in.
    """

    def __init__(self, database: Database, *, master: str) -> None:
        if not master:
            raise ValueError("the write token is empty; expected Settings.token(), which makes one where none is set.")
        self._database = database
        self._master = _digest(master)

    def add(self, name: str, role: Role, *, now: datetime, days: int | None = None) -> str:
        """Make a token and return it; it cannot be shown again.

        Args:
            name: Whose it is; its next one may have the same name once this one is revoked or has expired.
            role: What it allows.
            now: The moment.
            days: Life of the token; None for one that lives until it is revoked.

        Raises:
            StoreError: The name cannot be one, is in use or is the owner's; the days are out of range.
        """
        _check(name, days=days)
        token = f"ef_{secrets.token_urlsafe(32)}"
        row = {"digest": _digest(token).hex(), "name": name, "role": str(role), "created_at": now}
        expires_at = None if days is None else now + timedelta(days=days)
        with self._database.begin(lock="access_tokens") as connection:
            query = select(access_tokens.c.id).where(access_tokens.c.name == name, _is_valid(now))
            if connection.execute(query).first() is not None:
                raise StoreError(
                    f"there is a token named {name!r} already. Choose another name, or revoke that one first:"
                    f" `everfeed tokens revoke {name}`."
                )
            connection.execute(insert(access_tokens).values(**row, expires_at=expires_at))
        return token

    def revoke(self, name: str, *, now: datetime) -> None:
        """End a token now; gateways and control rooms hear of it within seconds.

        Raises:
            StoreError: No token of that name is valid.
        """
        statement = update(access_tokens).where(access_tokens.c.name == name, _is_valid(now)).values(revoked_at=now)
        with self._database.begin(lock="access_tokens") as connection:
            if connection.execute(statement).rowcount == 0:
                raise StoreError(
                    f"there is no valid token named {name!r}. `everfeed tokens list` shows those there are."
                )

    def tokens(self) -> list[TokenRecord]:
        """Return every token that was ever made, the newest first."""
        query = select(access_tokens).order_by(access_tokens.c.created_at.desc(), access_tokens.c.id.desc())
        with self._database.read() as connection:
            return [
                TokenRecord(row.name, Role(row.role), row.created_at, row.expires_at, row.revoked_at)
                for row in connection.execute(query)
            ]

    def book(self) -> TokenBook:
        """Return the tokens that were not revoked, for a process that asks often."""
        query = select(access_tokens).where(access_tokens.c.revoked_at.is_(None)).order_by(access_tokens.c.id)
        with self._database.read() as connection:
            found = [
                (bytes.fromhex(row.digest), TokenRecord(row.name, Role(row.role), row.created_at, row.expires_at, None))
                for row in connection.execute(query)
            ]
        return TokenBook((*self.owners_book().entries, *found))

    def owners_book(self) -> TokenBook:
        """Return the write token alone, without asking the database."""
        owner = TokenRecord(OWNER, Role.OPERATOR, from_microseconds(0), None, None)
        return TokenBook(((self._master, owner),))

    def caller(self, token: str, *, now: datetime) -> Caller | None:
        """Return whose token it is, in constant time; None where it is unknown, revoked or expired."""
        return self.book().caller(token, now=now)


def _digest(token: str) -> bytes:
    """Return the SHA-256 of a token; it has 256 random bits, so that no salt and no slow hash are needed."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _is_valid(now: datetime) -> ColumnElement[bool]:
    lives = or_(access_tokens.c.expires_at.is_(None), access_tokens.c.expires_at > now)
    return and_(access_tokens.c.revoked_at.is_(None), lives)


def _check(name: str, *, days: int | None) -> None:
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} is no name of a token. Expected up to 64 lower-case letters, digits, dots, dashes and"
            " underscores, such as ana or grafana-eu."
        )
    if name == OWNER:
        raise StoreError(f"{OWNER!r} is whoever holds the write token of the home. Choose another name.")
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise StoreError(f"a token cannot live {days!r} days. Expected 1 to {MOST_DAYS}, or none for no end.")
