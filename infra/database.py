"""The relational store: one engine over SQLite or PostgreSQL, brought to the newest schema when it is opened."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    UniqueConstraint,
    inspect,
    make_url,
    text,
)
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoneFreeError

from infra import postgresql, sqlite
from infra.bulk import insert_new_arrays, insert_new_rows
from infra.postgresql import make_schema, postgresql_engine
from infra.sqlite import sqlite_engine
from infra.tenants import SCHEMA_OPTION
from infra.urls import POSTGRESQL_DRIVER, with_driver, without_password
from recmodels.errors import StoreError

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


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
            return connection.execute(insert_postgresql(table).on_conflict_do_nothing(), ordered).rowcount
        return connection.execute(insert_sqlite(table).on_conflict_do_nothing(), rows).rowcount

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


def peek_version(url: str) -> str | None:
    """Return the schema version of the database at `url` without changing it; None where it holds no tables.

    Raises:
        StoreError: The URL cannot be used, the database is damaged or unreachable, or a newer Everfeed wrote it.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return None
    database = Database(_engine(parsed, is_synced=True))
    try:
        version = database.schema_version()
    finally:
        database.close()
    _refuse_newer(version, url=parsed)
    return version


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
    return sqlite_engine(url, is_synced=is_synced)


def _in_order_of_key(table: Table, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Sort rows by what makes them unique: two transactions that insert the same rows never wait for each other."""
    unique = [tuple(c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys = [names for names in [tuple(table.primary_key.columns.keys()), *unique] if set(names) <= rows[0].keys()]
    return sorted(rows, key=itemgetter(*keys[0])) if keys and len(rows) > 1 else rows


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
        is_sqlite = url.get_backend_name() == "sqlite"
        found = sqlite.reason_of(error) if is_sqlite else postgresql.reason_of(error)
        if found is None:
            raise
        reason, advice = found
        raise StoreError(f"database {_shown(url)} {reason}. {advice}") from error


def _shown(url: URL) -> str:
    """Return the URL as a person wrote it, but for the password."""
    return url.set(drivername=url.get_backend_name()).render_as_string()


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
