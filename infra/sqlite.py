"""What is SQLite's own: how a connection is set up, how a transaction takes the lock, and what its errors mean."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from recmodels.errors import StoreError

BUSY_SECONDS: Final = 30
"""How long a statement waits for a lock."""


def sqlite_engine(url: URL, *, is_synced: bool) -> Engine:
    """Return an engine over a SQLite file, which is made for its owner alone where there is none.

    Connections use a write-ahead log. A transaction whose engine has the option `everfeed_writes` takes the write lock
    when it begins.

    Args:
        url: With the file's path.
        is_synced: As of `infra.database.open_database`.

    Raises:
        StoreError: The URL names no file.
    """
    if not url.database or url.database == ":memory:":
        raise StoreError("database URL sqlite:// keeps nothing. Give a file: sqlite:////absolute/path/everfeed.db.")
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # it maps user keys to user ids: for its owner only
    engine = create_engine(url)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    if not is_synced:
        event.listen(engine, "connect", _relax)
    return engine


def _configure(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # transactions begin where _begin says, not before the first write
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _relax(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:  # changing the journal mode does not wait for a lock as statements do
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("everfeed_writes", False):
        _begin_writing(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection) -> None:
    """Take SQLite's write lock, asking every millisecond.

    Left to itself SQLite asks ever more seldom, up to every 100 ms, so that who waits longest is served last: of two
    busy processes one waited more than a second.
    """
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + BUSY_SECONDS
    driver.execute("PRAGMA busy_timeout=1")
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break  # said below, as SQLAlchemy says it
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def reason_of(error: DBAPIError) -> tuple[str, str] | None:
    """Return what an error says of the store itself and what to do about it; None of any other error."""
    words = str(error.orig)
    if "locked" in words:
        return (
            f"stayed locked for {BUSY_SECONDS} s",
            "Find the process that holds it and end that one, then try again.",
        )
    if "not a database" in words or "malformed" in words:
        return f"is damaged ({words})", "Restore it from a backup, or move the file away to start empty."
    if "disk" in words or "readonly" in words or "read-only" in words:
        return f"cannot be written ({words})", "Free space or fix the permissions, then try again; nothing was lost."
    if isinstance(error, OperationalError):
        return f"cannot be used ({words.strip()})", "Check EVERFEED_DATABASE_URL."
    return None
