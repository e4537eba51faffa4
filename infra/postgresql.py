"""What is PostgreSQL's own: its driver, how a connection is made and set up, and what its errors mean.

The driver is pg8000: Python alone, under the BSD licence (psycopg is under the LGPL). It is used as it is, but that a
statement takes one round trip, where pg8000 waits three times.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from infra.tenants import SCHEMA_OPTION
from recmodels.errors import StoreError

LOCK_SECONDS: Final = 30
"""How long a statement waits for a lock, as on SQLite."""

_OWN_DRIVER: Final = "postgresql+everfeed"
_CONNECT_SECONDS: Final = 10
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""A server that is gone without a word is noticed after half a minute, not after two hours."""
_LIMITS: Final = {
    "statement_timeout": 60_000,
    "lock_timeout": LOCK_SECONDS * 1000,
    "idle_in_transaction_session_timeout": 120_000,
}
"""Milliseconds. The last one frees the locks of a process that was stopped in the middle of a transaction."""
_SSL_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS: Final = (
    *("application_name", "connect_timeout", "host", "port", SCHEMA_OPTION, "sslmode", "sslrootcert"),
    *_LIMITS,
)
_SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_DISCONNECTED: Final = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
_SYNC: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

_KINDS: Final[Mapping[str, type[DBAPIError]]] = {"22": DataError, "23": IntegrityError, "42": ProgrammingError}
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "28": (
        "refuses the user or the password",
        "Correct them in EVERFEED_DATABASE_URL; a password that has expired is renewed by ALTER ROLE ... PASSWORD ..."
        " VALID UNTIL ...",
    ),
    "3D000": ("does not exist on that server", "Make it with `createdb`, or correct EVERFEED_DATABASE_URL."),
    "42501": (
        "does not let this user do that",
        "Give the user of EVERFEED_DATABASE_URL the schema: GRANT ALL ON SCHEMA public TO ...; a tenant's is made"
        " with CREATE SCHEMA tenant_... AUTHORIZATION ..., or by a user who may: GRANT CREATE ON DATABASE ... TO ...",
    ),
    "53300": (
        "has no connection left",
        "Raise max_connections, put a pooler before it, or run fewer processes: each holds up to 15.",
    ),
    "53100": ("is on a disk that is full", "Free space on the server, then try again; nothing was lost."),
    "53": ("is out of a resource", "Look into the server's log."),
    "55P03": (
        f"stayed locked for {LOCK_SECONDS} s",
        "Find the session that holds it in pg_stat_activity and end that one, then try again.",
    ),
    "57014": (
        f"did not answer a statement in {_LIMITS['statement_timeout'] // 1000} s",
        "See what holds it up in pg_stat_activity; ?statement_timeout=MILLISECONDS in EVERFEED_DATABASE_URL waits"
        " longer.",
    ),
    "25006": ("is read-only", "EVERFEED_DATABASE_URL names a standby: give the primary."),
    "40": ("undid a transaction because of another one", "Try again; nothing was lost."),
    "08": ("cannot be reached", "Check EVERFEED_DATABASE_URL and that the server is up."),
    "57": ("was shut down meanwhile", "Check that the server is up, then try again."),
    "XX": ("is damaged", "Look into the server's log, and restore it from a backup."),
}
"""What an SQLSTATE, or the class that it begins with, means, and what to do."""


class _Dialect(PGDialect_pg8000):
    """SQLAlchemy's dialect of pg8000, with libpq's words in URLs and fewer round trips."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Return the driver."""
        return import_module("pg8000.dbapi")

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Return what pg8000's `connect` takes."""
        found = url.translate_connect_args(username="user")
        asked = {name: str(value) for name, value in url.query.items()}
        settings = {name: asked.get(name, str(value)) for name, value in _LIMITS.items()}
        if SCHEMA_OPTION in asked:
            settings["search_path"] = asked[SCHEMA_OPTION]  # alone: what is not there is not looked for elsewhere
        host, port = asked.get("host", found.get("host", "localhost")), int(asked.get("port", found.get("port", 5432)))
        arguments = {
            "user": found.get("user"),
            "password": found.get("password", ""),  # None makes the driver stumble where the server asks for one
            "database": found.get("database"),
            "host": host,
            "application_name": asked.get("application_name", "everfeed"),
            "startup_params": settings,
            "address": (host, port, float(asked.get("connect_timeout", _CONNECT_SECONDS))),
            "ssl_context": _ssl_context(asked.get("sslmode", "prefer"), asked.get("sslrootcert")),
        }
        return [], arguments

    def connect(self, *arguments: Any, **options: Any) -> DBAPIConnection:
        """Open the socket, and speak to the server on it."""
        host, port, seconds = options.pop("address")
        if host.startswith("/"):
            options["ssl_context"] = False
        channel = _open_socket(host, port, seconds=seconds, error=self.loaded_dbapi.InterfaceError)
        try:
            connection: DBAPIConnection = _connection_type()(*arguments, sock=channel, **options)
        except BaseException:
            channel.close()
            raise
        return connection

    def do_commit(self, dbapi_connection: Any) -> None:
        """Commit in one round trip."""
        dbapi_connection.execute_simple("commit")

    def do_close(self, dbapi_connection: Any) -> None:
        """Close; a server that is gone already needs no goodbye."""
        with suppress(self.loaded_dbapi.InterfaceError):
            dbapi_connection.close()

    def is_disconnect(self, e: Exception, connection: object, cursor: object) -> bool:
        """Say whether the connection cannot be used any more."""
        del connection, cursor
        words = str(e)
        return "network error" in words or "connection is closed" in words or _code(e).startswith(_DISCONNECTED)


@cache
def _connection_type() -> Any:
    """Return pg8000's connection, with a statement sent at once; the driver is imported where it is needed."""
    from pg8000 import core, dbapi

    class Connection(dbapi.Connection):  # type: ignore[misc]  # it has no types
        def execute_unnamed(self, statement: str, vals: Any = (), oids: Any = (), stream: Any = None) -> Any:
            context = core.Context(statement, stream=stream)
            self.send_PARSE(core.NULL_BYTE, statement, oids)
            self.send_BIND(core.NULL_BYTE, core.make_params(self.py_types, vals))
            self._send_message(core.DESCRIBE, core.PORTAL + core.NULL_BYTE)
            self.send_EXECUTE()
            self._send_message(core.SYNC, b"")
            core._flush(self._sock)
            self.handle_messages(context)
            return context

        def handle_messages(self, context: Any) -> None:
            try:
                super().handle_messages(context)
            except dbapi.InterfaceError:
                if context.error is None:
                    raise
                raise context.error from None  # the server's last words, before it closed the connection

    return Connection


registry.register("postgresql.everfeed", __name__, _Dialect.__name__)


def postgresql_engine(url: URL, *, is_synced: bool, is_migrating: bool = False) -> Engine:
    """Return an engine over a server that need not be up yet.

    Args:
        url: A URL of `postgresql`, whatever its driver; the words of libpq's URLs are understood.
        is_synced: Commits wait for the server's disk, also where the server's own default is not to.
        is_migrating: For one transaction that may take its time: without limits, and without a pool.

    Raises:
        StoreError: An option in the URL is not known, or the driver is not installed.
    """
    _refuse_unknown(url)
    own = url.set(drivername=_OWN_DRIVER)
    if is_migrating:
        own = own.update_query_dict(dict.fromkeys(_LIMITS, "0"))
        engine = _engine(own, poolclass=NullPool)
    else:
        engine = _engine(own, pool_use_lifo=True, pool_recycle=1800, json_serializer=_to_json)
    event.listen(engine, "connect", _synced if is_synced else _unsynced)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _as_kind, retval=True)
    return engine


def make_schema(url: URL) -> None:
    """Make the schema that a URL asks for, where it asks for one and it is not there.

    Raises:
        StoreError: The name cannot be one.
    """
    name = url.query.get(SCHEMA_OPTION)
    if name is None:
        return
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise StoreError(
            f"schema {name!r} in EVERFEED_DATABASE_URL cannot be one. Expected lower-case letters, digits and"
            " underscores, once."
        )
    engine = postgresql_engine(url.difference_update_query([SCHEMA_OPTION]), is_synced=True, is_migrating=True)
    try:
        with engine.execution_options(everfeed_writes=True).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('everfeed.schemas'))"))
            query = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
            if connection.execute(query, {"name": name}).first() is None:
                connection.execute(text(f"CREATE SCHEMA {name}"))
    finally:
        engine.dispose()


def reason_of(error: DBAPIError) -> tuple[str, str] | None:
    """Return what is wrong with the server and what to do; None where it is the statement that is wrong."""
    code = _code(error.orig)
    found = _REASONS.get(code) or _REASONS.get(code[:2])
    if found is not None:
        return f"{found[0]} ({_message(error.orig)})", found[1]
    if error.connection_invalidated or isinstance(error, OperationalError):
        return f"cannot be used ({_message(error.orig)})", _REASONS["08"][1]
    return None


def _engine(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, use_insertmanyvalues=True, **options)
    except ModuleNotFoundError as error:
        raise StoreError(
            "a PostgreSQL database needs the driver pg8000, which is not installed. Run: pip install"
            " 'everfeed[postgres]'."
        ) from error


def _refuse_unknown(url: URL) -> None:
    unknown = sorted(set(url.query) - {*_OPTIONS})
    if unknown:
        raise StoreError(
            f"option {unknown[0]!r} in EVERFEED_DATABASE_URL is not known. Known: {', '.join(_OPTIONS)}. User and"
            " password stand before the host: postgresql://user:password@host/name."
        )


def _ssl_context(mode: str, root: str | None) -> ssl.SSLContext | bool | None:
    """Return what pg8000 takes for libpq's `sslmode`."""
    if mode not in _SSL_MODES:
        raise StoreError(f"sslmode {mode!r} in EVERFEED_DATABASE_URL is not known. Known: {', '.join(_SSL_MODES)}.")
    if mode in {"disable", "prefer", "require"}:
        return {"disable": False, "prefer": None, "require": True}[mode]
    context = ssl.create_default_context(cafile=root)
    context.check_hostname = mode == "verify-full"
    return context


def _open_socket(host: str, port: int, *, seconds: float, error: type[Exception]) -> socket.socket:
    try:
        if host.startswith("/"):
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.connect(f"{host}/.s.PGSQL.{port}")
            return channel
        channel = socket.create_connection((host, port), seconds)
    except OSError as reason:
        raise error(f"network error: {host} port {port} does not answer ({reason})") from reason
    channel.settimeout(None)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # Linux has them all
            channel.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return channel


def _synced(connection: Any, record: ConnectionPoolEntry) -> None:
    del record
    connection.autocommit = True  # transactions begin where `_begin` says
    connection.execute_simple(_SYNC)


def _unsynced(connection: Any, record: ConnectionPoolEntry) -> None:
    del record
    connection.autocommit = True
    connection.execute_simple("SET synchronous_commit = off")


def _begin(connection: Connection) -> None:
    """Begin a transaction; one that reads sees one state from its first statement to its last."""
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return  # such as VACUUM, which takes no transaction
    is_writing = options.get("everfeed_writes", False)
    kind = "READ COMMITTED READ WRITE" if is_writing else "REPEATABLE READ READ ONLY"
    connection.exec_driver_sql(f"BEGIN ISOLATION LEVEL {kind}")


def _as_kind(context: ExceptionContext) -> Exception | None:
    """Give errors the class that the standard has for their SQLSTATE: pg8000 has one for all."""
    orig, found = context.original_exception, context.sqlalchemy_exception
    if not isinstance(found, DBAPIError) or isinstance(found, (IntegrityError, OperationalError)):
        return None
    code = _code(orig)
    kind = _KINDS.get(code[:2])
    if context.is_disconnect or not code or (kind is None and reason_of(found)):
        kind = OperationalError
    if kind is None:
        return None
    return kind(found.statement, found.params, orig, connection_invalidated=context.is_disconnect)


def _to_json(value: object) -> str:
    """Write JSON as the standard has it: PostgreSQL refuses the words for what is not finite, which become null."""
    return msgspec.json.encode(value).decode()


def _fields(error: BaseException | None) -> Mapping[str, str]:
    """Return the fields of the server's message by their letters; none where the error is the driver's own."""
    first = error.args[0] if error is not None and error.args else None
    return first if isinstance(first, dict) else {}


def _code(error: BaseException | None) -> str:
    return _fields(error).get("C", "")


def _message(error: BaseException | None) -> str:
    return _fields(error).get("M") or str(error).strip()
