"""The relational store: one engine over SQLite or PostgreSQL, brought to the newest schema when it is opened."""

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    Dialect,
    Engine,
    Integer,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFreeError
from sqlalchemy.pool import ConnectionPoolEntry

from infra.bulk import insert_new_arrays, insert_new_rows
from infra.postgresql import make_schema, postgresql_engine, reason_of
from infra.tenants import SCHEMA_OPTION
from infra.urls import POSTGRESQL_DRIVER, with_driver, without_password
from recmodels.errors import StoreError

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of Everfeed's own; each store defines its tables beside its code."""

BigKey = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that counts by itself on both databases."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_SECONDS: Final = 30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Return the microseconds since 1970 UTC of an aware datetime.

    Raises:
        ValueError: The datetime has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"datetime {moment!r} has no time zone; pass an aware one, such as datetime.now(UTC).")
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the UTC datetime of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as integer microseconds since 1970 UTC on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a datetime into microseconds."""
        del dialect
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Turn microseconds into a datetime."""
        del dialect
        return None if value is None else from_microseconds(value)


class Database:
    """An open database at the newest schema; safe to share between threads.

    Attributes:
        engine: The SQLAlchemy engine.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(everfeed_writes=True)
        self._schema = str(engine.url.query.get(SCHEMA_OPTION, ""))

    @contextmanager
    def begin(self, *, lock: str = "") -> Iterator[Connection]:
        """Open one writing transaction; it is committed at the end and undone by an exception.

        On SQLite the write lock is taken at once, so that a transaction that reads before it writes cannot fail in the
        middle because another writer came between.

        Args:
            lock: Name of what the transaction reads before it writes; transactions with the same name wait for each
                other on PostgreSQL too. Empty where no decision depends on what was read.

        Raises:
            StoreError: The database stayed locked for 30 seconds, or cannot be reached.
        """
        with explained(self.engine.url), _begun(self._writer) as connection:
            if lock and connection.dialect.name == "postgresql":
                name = ".".join(("everfeed", *([self._schema] if self._schema else []), lock))
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open one reading transaction, which sees one state from its first statement to its last.

        Raises:
            StoreError: The database cannot be reached.
        """
        with explained(self.engine.url), _begun(self.engine) as connection:
            yield connection

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert rows, passing over those whose key is there already; return how many were inserted."""
        if not rows:
            return 0
        if connection.dialect.name == "postgresql":
            ordered = _in_order_of_key(table, rows)
            return connection.execute(postgresql.insert(table).on_conflict_do_nothing(), ordered).rowcount
        return connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows).rowcount

    def insert_new_plain(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Do as `insert_new`, many rows at once, for columns of types that SQLAlchemy does not convert."""
        if not rows:
            return 0
        if connection.dialect.name == "postgresql":
            return insert_new_arrays(connection, table, _in_order_of_key(table, rows))
        return insert_new_rows(connection, table.name, rows)

    def scrub(self) -> bool:
        """Write the file anew without what was deleted, and empty its log; return whether nothing of it is left.

        SQLite keeps deleted rows in free pages until these are used again. Where somebody reads for all of that time,
        the log cannot be emptied: call again. PostgreSQL is asked for the same; its log and its backups are its own.
        """
        with (
            explained(self.engine.url),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as opened,
        ):
            if opened.dialect.name == "postgresql":
                opened.exec_driver_sql("VACUUM")
                return True
            driver = opened.connection.dbapi_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("VACUUM")
            (is_busy, *_) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not is_busy

    def schema_version(self) -> str | None:
        """Return the schema version that the database says it has."""
        with self.read() as connection:
            return _version(connection)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, is_synced: bool = True) -> Database:
    """Open the database at `url`, making it and bringing it to the newest schema where that is needed.

    Args:
        url: SQLAlchemy URL, ``sqlite:////absolute/path`` or ``postgresql://user@host/name``.
        is_synced: Wait at every commit until the disk has it. Without, SQLite keeps a commit over the end of the
            process, but may lose the newest ones with the power: for what can be done again, such as noting that an
            alert was delivered, where a wait would lengthen the moment in which a crash means a second copy.

    Raises:
        StoreError: The URL cannot be used, the database is damaged or unreachable, or a newer Everfeed wrote it.
    """
    parsed = _parse(url)
    database = Database(_engine(parsed, is_synced=is_synced))
    try:
        if parsed.get_backend_name() == "postgresql":
            with explained(parsed):
                make_schema(parsed)
        with database.read() as connection:
            version = _version(connection)
        _refuse_newer(version, url=parsed)
        if version != known_versions()[-1]:
            _upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _begun(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction; a connection that turns out to be dead when it begins is replaced, once."""
    for is_last in (False, True):
        connection = engine.connect()
        try:
            transaction = connection.begin()
            break
        except DBAPIError as error:
            connection.close()
            if is_last or not error.connection_invalidated:
                raise
    with connection, transaction:
        yield connection


@cache
def known_versions() -> tuple[str, ...]:
    """Return the schema versions this Everfeed knows, oldest first, from the names of the migrations' files."""
    names = (re.fullmatch(r"v(\d{4})_\w+\.py", path.name) for path in (_MIGRATIONS / "versions").iterdir())
    return tuple(sorted(match[1] for match in names if match))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(with_driver(url, POSTGRESQL_DRIVER))
        if parsed.get_backend_name() != "postgresql":  # its driver is ours, whatever the URL says
            parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(
            f"database URL {without_password(url)!r} cannot be used ({error}). Expected"
            " sqlite:////absolute/path/file.db or postgresql://user:password@host/name; set EVERFEED_DATABASE_URL."
        ) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(
            f"database {parsed.get_backend_name()!r} is not supported. Known: sqlite, postgresql."
            " Change EVERFEED_DATABASE_URL."
        )
    return parsed


def _engine(url: URL, *, is_synced: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        return postgresql_engine(url, is_synced=is_synced)
    engine = create_engine(url)
    _prepare_sqlite(engine, url)
    if not is_synced:
        event.listen(engine, "connect", _relax_sqlite)
    return engine


def _in_order_of_key(table: Table, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Sort rows by what makes them unique: two transactions that insert the same rows never wait for each other."""
    unique = [tuple(c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys = [names for names in [tuple(table.primary_key.columns.keys()), *unique] if set(names) <= rows[0].keys()]
    return sorted(rows, key=itemgetter(*keys[0])) if keys and len(rows) > 1 else rows


def _prepare_sqlite(engine: Engine, url: URL) -> None:
    if not url.database or url.database == ":memory:":
        raise StoreError("database URL sqlite:// keeps nothing. Give a file: sqlite:////absolute/path/everfeed.db.")
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # it maps user keys to user ids: for its owner only
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _configure_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not before the first write
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _relax_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:  # changing the journal mode does not wait for a lock as statements do
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
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
    deadline = time.monotonic() + _BUSY_SECONDS
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
        driver.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn the driver's errors about the store itself into `StoreError`; broken constraints pass as they are."""
    try:
        yield
    except NoneFreeError as error:
        raise StoreError(
            f"database {_shown(url)}: every connection of this process is in use. Send fewer requests at"
            " once, or find what holds them."
        ) from error
    except DBAPIError as error:
        found = reason_of(error) if url.get_backend_name() == "postgresql" else _sqlite_reason(error)
        if found is None:
            raise
        reason, advice = found
        raise StoreError(f"database {_shown(url)} {reason}. {advice}") from error


def _shown(url: URL) -> str:
    """Return the URL as a person wrote it, but for the password."""
    return url.set(drivername=url.get_backend_name()).render_as_string()


def _sqlite_reason(error: DBAPIError) -> tuple[str, str] | None:
    words = str(error.orig)
    if "locked" in words:
        return (
            f"stayed locked for {_BUSY_SECONDS} s",
            "Find the process that holds it and end that one, then try again.",
        )
    if "not a database" in words or "malformed" in words:
        return f"is damaged ({words})", "Restore it from a backup, or move the file away to start empty."
    if "disk" in words or "readonly" in words or "read-only" in words:
        return f"cannot be written ({words})", "Free space or fix the permissions, then try again; nothing was lost."
    if isinstance(error, OperationalError):
        return f"cannot be used ({words.strip()})", "Check EVERFEED_DATABASE_URL."
    return None


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _refuse_newer(version: str | None, *, url: URL) -> None:
    if version is not None and version not in known_versions():
        raise StoreError(
            f"database {_shown(url)} has schema version {version!r}; this Everfeed knows versions up to"
            f" {known_versions()[-1]!r}. A newer Everfeed wrote it: install that one, or set EVERFEED_DATABASE_URL or"
            " EVERFEED_HOME to another place."
        )


def _upgrade(database: Database) -> None:
    """Run the missing migrations in one transaction, behind a lock, so that concurrent opens migrate once."""
    from alembic import command
    from alembic.config import Config

    with _migrating(database) as migrated, migrated.begin(lock="migrations") as connection:
        _refuse_newer(_version(connection), url=database.engine.url)
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        command.upgrade(config, "head")


@contextmanager
def _migrating(database: Database) -> Iterator[Database]:
    """Yield the database without the limits on how long a statement takes: a table may be long."""
    url = database.engine.url
    if url.get_backend_name() != "postgresql":
        yield database
        return
    patient = Database(postgresql_engine(url, is_synced=True, is_migrating=True))
    try:
        yield patient
    finally:
        patient.close()
