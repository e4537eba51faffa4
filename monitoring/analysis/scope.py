"""What every analysis reads: the events of a span of time as one DuckDB table, with two windows to compare in it."""

from __future__ import annotations  # a class of DuckDB in an annotation outlives its module, and is reported as a leak

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from recmodels.data import schema
from recmodels.errors import DataError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)
FINISHED: Final = 0.95
"""Share of its duration after which a video counts as watched to the end: players report the last moments unevenly."""
_EXACT_ROWS: Final = 5_000_000
_INTERESTS: Final = (
    (schema.LONG_VIEWED, "a long view"),
    (schema.CLICKED, "a click"),
    (schema.LIKED, "a like"),
)
_REAL: Final = f"origin <> '{schema.ORIGIN_REPLAY}'"
_TABLES: Final = ("interactions", "items", "users")


class Config(BaseModel):
    """What the analyses look at, and how sure they must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: int = Field(default=28, ge=1)
    """Days before the newest event that are read, where no span is given."""
    window_days: int = Field(default=7, ge=1)
    """Length of the two windows that are compared, at most; half the span where that is shorter."""
    false_discovery_rate: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of the findings of one family that may be noise."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval."""
    least_users: int = Field(default=20, ge=2)
    """People that a figure is of, at least."""
    session_gap_minutes: float = Field(default=30.0, gt=0)
    """A pause of this length ends a session."""
    memory: str = Field(default="1GB", pattern=r"^\d+(\.\d+)?(KB|MB|GB)$")
    """Of DuckDB; what does not fit is spilled to a temporary folder."""
    threads: int = Field(default=1, ge=1)
    """Of DuckDB."""
    seed: int = 0
    """Of what is drawn."""


@dataclass(frozen=True, eq=False)
class Scope:
    """The events of a span, in DuckDB, and what they have.

    The table ``events`` has one row an event: `user` (a number made from the id, which itself is not there), `item`,
    `creator`, `topic` (null where unknown), `moment`, `surface`, `watch`, `duration` (seconds, null where unknown),
    `interest` and `finished` (0 or 1, null where unknown), `part` (1 in the earlier window, 2 in the later, else 0)
    and `day` (24-hour blocks counted back from the end; the newest is 0). The table ``people`` has one row a user:
    `user`, `bucket` (one of 64) and attributes. `catalogue` has `item`, `title`, `creator`, `topic`.

    Attributes:
        start: First moment.
        end: First moment after it.
        middle: Where the later window begins; the earlier ends there and is as long.
        window: Length of each window.
        num_events: Rows of ``events``.
        num_users: Users in it.
        label: Column that tells interest; ``any`` where every event counts.
        label_words: The same in words.
        columns: Those of ``events`` that have a value.
        surfaces: How many surfaces there are.
        attributes: Names of people's attributes; `column_of` says where ``people`` holds each.
        is_order_only: Times are positions in a sequence, not times.
        has_earlier: The lake has events before `start`.
        config: As given.
    """

    _connection: duckdb.DuckDBPyConnection = field(repr=False)
    start: datetime
    end: datetime
    window: timedelta
    num_events: int
    num_users: int
    label: str
    label_words: str
    columns: frozenset[str]
    surfaces: int
    attributes: tuple[str, ...]
    is_order_only: bool
    has_earlier: bool
    config: Config

    @property
    def middle(self) -> datetime:
        """Where the later of the two windows begins."""
        return self.end - self.window

    @property
    def days(self) -> float:
        """Length of the span."""
        return (self.end - self.start) / DAY

    def query(self, sql: str) -> pa.Table:
        """Run a query over the tables that the class describes."""
        return self._connection.sql(sql).to_arrow_table()

    def quantile(self, value: str, share: float) -> str:
        """Return SQL for a quantile: exact, or by t-digest in bounded memory where there are millions of events."""
        kind = "quantile_cont" if self.num_events <= _EXACT_ROWS else "approx_quantile"
        return f"{kind}({value}, {share})"


@contextmanager
def opened(
    files: Mapping[str, Sequence[str]],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    is_order_only: bool = False,
    config: Config | None = None,
    attach: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
) -> Iterator[Scope]:
    """Read a span of the lake's events into DuckDB, within its memory limit, for as long as the context lasts.

    Args:
        files: Parquet files by table: ``interactions``, ``items``, ``users``; none or no entry for an empty table.
        start: First moment; `Config.days` before the end if None.
        end: First moment after the span; just after the newest event if None.
        is_order_only: The data set has an order and no times.
        config: What is looked at.
        attach: Lets DuckDB read files that are not in a folder.

    Raises:
        DataError: The span is empty or a table cannot be read.
    """
    config = config or Config()
    if start is not None and end is not None and start >= end:
        raise DataError(f"the span from {start.isoformat()} to {end.isoformat()} is empty. Its end must be later.")
    with TemporaryDirectory(prefix="everfeed-analysis-") as scratch, _connect(config, Path(scratch)) as connection:
        attach(connection)
        try:
            for name in _TABLES:
                _view(connection, name, files.get(name, ()))
            yield _scope(connection, start=start, end=end, is_order_only=is_order_only, config=config)
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.OutOfMemoryException) as error:
            words = str(error).strip().split("\n", maxsplit=1)[0]
            raise DataError(
                f"the lake's tables cannot be analysed: {words}. Check that the files exist, or allow more memory"
                f" than {config.memory}."
            ) from error


def _scope(
    connection: duckdb.DuckDBPyConnection,
    *,
    start: datetime | None,
    end: datetime | None,
    is_order_only: bool,
    config: Config,
) -> Scope:
    oldest, newest = _bounds(connection)
    end = end or newest + _MICROSECOND
    start = start or (oldest if is_order_only else max(oldest, end - config.days * DAY))
    if start >= end:
        raise DataError(
            f"nothing lies before {end.isoformat()}: the data starts {oldest.isoformat()}. Choose a later --to."
        )
    window = min(config.window_days * DAY, (end - max(start, oldest)) / 2) if start < end else DAY
    window = max(window, _MICROSECOND)
    label, words, condition = _interest(connection)
    _make_events(connection, condition, start=start, end=end, window=window)
    attributes = _make_people(connection)
    names = ("watch", "duration", "finished", "creator", "topic")
    counts = connection.sql(
        f"SELECT count(*), count(DISTINCT user), count(DISTINCT surface), {', '.join(f'count({n})' for n in names)} FROM events"  # noqa: S608, E501
    ).fetchall()[0]
    return Scope(
        connection,
        start=start,
        end=end,
        window=window,
        num_events=counts[0],
        num_users=counts[1],
        label=label,
        label_words=words,
        columns=frozenset(name for name, count in zip(names, counts[3:], strict=True) if count),
        surfaces=counts[2],
        attributes=attributes,
        is_order_only=is_order_only,
        has_earlier=oldest < start,
        config=config,
    )


def _connect(config: Config, scratch: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(scratch / "duckdb"),
            "threads": config.threads,
            "memory_limit": config.memory,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[str]) -> None:
    """Make a view with all columns of the contract: files may be older than a column, and a table may be missing."""
    connection.register(f"no_{name}", schema.TABLES[name].empty_table())
    if not files:
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM no_{name}")  # noqa: S608 - the contract's names
        return
    paths = [glob.escape(file) for file in files]
    connection.read_parquet(paths, union_by_name=True, hive_partitioning=False).create_view(f"{name}_files")
    connection.execute(
        f"CREATE VIEW {name} AS SELECT * FROM {name}_files UNION ALL BY NAME SELECT * FROM no_{name}"  # noqa: S608
    )


def _bounds(connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime]:
    first, last = connection.sql(
        f"SELECT epoch_us(min(timestamp)), epoch_us(max(timestamp)) FROM interactions WHERE {_REAL}"  # noqa: S608 - ours
    ).fetchall()[0]
    if first is None:
        return _EPOCH, _EPOCH
    return _EPOCH + timedelta(microseconds=first), _EPOCH + timedelta(microseconds=last)


def _interest(connection: duckdb.DuckDBPyConnection) -> tuple[str, str, str]:
    """Return which column tells interest, in words and as SQL: the most telling of those that have a yes and a no."""
    names = [name for name, _ in _INTERESTS]
    asked = ", ".join(f"count({name}) FILTER ({name}) > 0 AND count({name}) FILTER (NOT {name}) > 0" for name in names)
    found = connection.sql(f"SELECT {asked}, count(rating) > 0 FROM interactions").fetchall()[0]  # noqa: S608
    for (name, words), is_there in zip(_INTERESTS, found[:-1], strict=True):
        if is_there:
            return name, words, f"{name}::INTEGER"
    if found[-1]:
        return (
            schema.RATING,
            "a rating of 4 or more",
            "CASE WHEN isnan(rating) THEN NULL ELSE (rating >= 4)::INTEGER END",
        )
    return "any", "any event", "1"


def _make_events(
    connection: duckdb.DuckDBPyConnection, condition: str, *, start: datetime, end: datetime, window: timedelta
) -> None:
    first, last, length = _micro(start), _micro(end), window // _MICROSECOND
    day = DAY // _MICROSECOND
    connection.execute(
        "CREATE TEMP TABLE catalogue AS SELECT item_id AS item, any_value(text) AS title, "
        "any_value(creator_id) AS creator, nullif(split_part(any_value(category), '|', 1), '') AS topic "
        "FROM items GROUP BY item_id"
    )
    connection.execute(
        f"""CREATE TEMP TABLE events AS
        WITH raw AS (
            SELECT md5_number_lower(user_id) AS user, item_id AS item, epoch_us(timestamp) AS moment, surface,
                CASE WHEN watch_seconds >= 0 AND isfinite(watch_seconds) THEN watch_seconds END AS watch,
                CASE WHEN duration_seconds > 0 AND isfinite(duration_seconds) THEN duration_seconds END AS duration,
                {condition} AS interest
            FROM interactions
            WHERE {_REAL} AND epoch_us(timestamp) >= {first} AND epoch_us(timestamp) < {last}
        )
        SELECT raw.*, creator, topic, (watch >= {FINISHED} * duration)::INTEGER AS finished,
            CASE WHEN moment >= {last - length} THEN 2 WHEN moment >= {last - 2 * length} THEN 1 ELSE 0 END AS part,
            (({last} - 1 - moment) // {day})::INTEGER AS day
        FROM raw LEFT JOIN catalogue USING (item)"""  # noqa: S608 - numbers and our own names
    )


def _make_people(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Make one row a user of ``events``; return the attributes: those with 2 to 12 values that several people share."""
    described = connection.sql("SELECT * FROM users LIMIT 0").columns
    names = [name for name in described if name not in schema.USERS.names]
    columns = "".join(f", any_value({quoted(name)}::VARCHAR) AS {column_of(name)}" for name in names)
    connection.execute(
        f"""CREATE TEMP TABLE people AS
        WITH known AS (SELECT md5_number_lower(user_id) AS user{columns} FROM users GROUP BY 1),
            counted AS (SELECT user, count(*) AS events FROM events GROUP BY 1)
        SELECT *, (user % 64)::INTEGER AS bucket FROM counted LEFT JOIN known USING (user)"""  # noqa: S608
    )
    if not names:
        return ()
    asked = ", ".join(f"approx_count_distinct({column_of(name)})" for name in names)
    counts = connection.sql(f"SELECT {asked} FROM people").fetchall()[0]  # noqa: S608 - quoted
    return tuple(name for name, count in zip(names, counts, strict=True) if 2 <= count <= 12)


def column_of(attribute: str) -> str:
    """Return the column of ``people`` that holds an attribute, as SQL; its prefix keeps it apart from the others."""
    return quoted(f"of {attribute}")


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _micro(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
