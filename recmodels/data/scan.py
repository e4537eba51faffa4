"""What DuckDB reads of Parquet files for an assembly: which events count, and numbers in the place of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.data.positive_sql import condition_of, quoted
from recmodels.data.schema import EVENT_ID, ITEM_ID, TIMESTAMP, USER_ID
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.errors import DataError, SplitError

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import DataConfig

_NEEDED = (USER_ID, ITEM_ID, TIMESTAMP, EVENT_ID)
_BATCH = 2**17
_FEW_TIES = 8
"""Where fewer than one event in so many is tied, hashing the tied ones alone is worth finding them among all."""


@dataclass(frozen=True)
class ScanLimits:
    """What DuckDB may use.

    Attributes:
        memory: Such as ``"1GB"``; what does not fit is spilled beside the assembly. None for DuckDB's own choice.
        threads: Of DuckDB, and of the sorting of buckets.
    """

    memory: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class Span:
    """The first and last timestamp of the events that count, in microseconds."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class UserNumbers:
    """How users are numbered: by bucket, then by id.

    Attributes:
        bucket_starts: ``(B + 1,)`` first user of each bucket, then the number of users.
        events_of_buckets: ``(B,)`` events of the users of each bucket, those of rare items included.
    """

    bucket_starts: NDArray[np.int64]
    events_of_buckets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Some events, in any order.

    Attributes:
        users: ``(E,)`` number of each event's user.
        items: ``(E,)`` index of its item.
        timestamps: ``(E,)`` microseconds.
        rows: ``(E,)`` where it stands in the files, counted over all of them.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    rows: NDArray[np.int64]


class Scan:
    """Parquet files of interactions with a rule of which events count; a context manager.

    Args:
        files: Paths or URIs.
        data: The label.
        before: Only events before this moment.
        limits: Of memory and threads.
        scratch: Where DuckDB may spill.

    Attributes:
        span: Of the events that count.
        limits: As given.

    Raises:
        DataError: A column is missing, the label has no value, or a timestamp is null.
        SplitError: No event counts.
    """

    def __init__(
        self, files: Sequence[str], *, data: DataConfig, before: datetime | None, limits: ScanLimits, scratch: Path
    ) -> None:
        if not files:
            raise DataError("there is no Parquet file to read. Give at least one.")
        self.limits = limits
        self._connection = _connect(limits, scratch)
        self._files = ", ".join(quoted(file) for file in files)
        self._is_numbered = False
        try:
            types = self._columns()
            self._condition = condition_of(types, data, before)
            self._bases = self._first_rows(files)
            self.span = self._span(data)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Scan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def catalogue(self, least: int) -> Vocabulary:
        """Return the items with at least `least` events.

        Raises:
            SplitError: There is none.
        """
        query = f"SELECT {ITEM_ID}, count(*) AS events FROM {self._events} GROUP BY 1"  # noqa: S608 - the contract's names
        found = self._connection.sql(f"SELECT {ITEM_ID} FROM ({query}) WHERE events >= {least}").to_arrow_table()  # noqa: S608
        if not found.num_rows:
            most = self._connection.sql(f"SELECT max(events) FROM ({query})").fetchall()[0][0]  # noqa: S608 - likewise
            raise SplitError(
                f"no item has {least} positive training interactions; the most popular has {most}. "
                "Lower data.minimum_item_interactions."
            )
        return Vocabulary.build(found[ITEM_ID].cast(pa.string()))

    def number_users(self, *, buckets: int) -> UserNumbers:
        """Number the users who have an event, bucket by bucket.

        The bucket is the first 32 bits of the id's MD5 modulo `buckets`: the same on every machine and version.
        """
        bucket = f"('0x' || left(md5({USER_ID}), 8))::UBIGINT % {buckets}"
        self._connection.execute(
            f"CREATE TEMP TABLE users AS SELECT {USER_ID}, events, bucket, "  # noqa: S608 - likewise
            f"(row_number() OVER (ORDER BY bucket, {USER_ID}) - 1)::INTEGER AS number FROM ("
            f"SELECT {USER_ID}, count(*) AS events, ({bucket})::INTEGER AS bucket FROM {self._events} GROUP BY 1)"
        )
        found = self._connection.sql(
            "SELECT bucket, count(*)::BIGINT AS users, sum(events)::BIGINT AS events FROM users GROUP BY 1"
        ).to_arrow_table()
        users, events = np.zeros(buckets + 1, dtype=np.int64), np.zeros(buckets, dtype=np.int64)
        number = found["bucket"].to_numpy()
        users[number + 1], events[number] = found["users"].to_numpy(), found["events"].to_numpy()
        self._is_numbered = True
        return UserNumbers(np.cumsum(users), events)

    def user_ids(self) -> pa.ChunkedArray:
        """Return the users' ids in the order of their numbers."""
        assert self._is_numbered, "number_users comes first"
        found = self._connection.sql(f"SELECT number, {USER_ID} FROM users ORDER BY number").to_arrow_table()  # noqa: S608
        assert np.array_equal(found["number"].to_numpy(), np.arange(found.num_rows)), "users came back out of order"
        return found[USER_ID].cast(pa.string())

    def events(self, vocabulary: Vocabulary) -> Iterator[EventBatch]:
        """Yield the events of the catalogue's items, each once, in any order."""
        assert self._is_numbered, "number_users comes first"
        indices = pa.array(np.arange(FIRST_ITEM, vocabulary.size, dtype=np.int32))
        catalogue = vocabulary.to_table().append_column("item", indices)
        self._connection.register("catalogue", catalogue)
        found = self._connection.sql(
            f"SELECT number, item, epoch_us({TIMESTAMP}) AS moment, file_index, file_row_number "  # noqa: S608 - likewise
            f"FROM {self._events} JOIN users USING ({USER_ID}) JOIN catalogue USING ({ITEM_ID})"
        )
        for batch in found.to_arrow_reader(_BATCH):
            yield EventBatch(
                batch["number"].to_numpy(), batch["item"].to_numpy(), batch["moment"].to_numpy(), self._rows(batch)
            )
        self._connection.unregister("catalogue")

    def tie_hashes(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return what orders tied events: the first 64 bits of the MD5 of the event id, the largest number without one.

        Args:
            rows: ``(T,)`` where the events stand in the files, in ascending order.

        Returns:
            ``(T,)``.
        """
        source = f"(SELECT *, file_row_number + {self._base} AS row FROM {self._events})"  # noqa: S608 - likewise
        if len(rows) * _FEW_TIES < self._bases[-1]:
            self._connection.register("tied", pa.table({"row": rows}))
            source = f"{source} SEMI JOIN tied USING (row)"
        hashes = np.full(len(rows), np.iinfo(np.uint64).max, dtype=np.uint64)
        found = self._connection.sql(
            f"SELECT row, unhex(md5({EVENT_ID})) AS hash FROM {source} WHERE {EVENT_ID} IS NOT NULL"  # noqa: S608
        )
        for batch in found.to_arrow_reader(_BATCH):
            arrived = batch["row"].to_numpy()
            places = np.minimum(np.searchsorted(rows, arrived), len(rows) - 1)
            is_tied = rows[places] == arrived
            hashes[places[is_tied]] = _first_words(batch["hash"])[is_tied]
        return hashes

    @property
    def _relation(self) -> str:
        return f"read_parquet([{self._files}], file_row_number = true, union_by_name = true, hive_partitioning = false)"

    @property
    def _events(self) -> str:
        """SQL for the events that count, with what is asked of them."""
        names = f"{USER_ID}, {ITEM_ID}, {TIMESTAMP}, {EVENT_ID}, file_index, file_row_number"
        return f"(SELECT {names} FROM {self._relation} WHERE {self._condition})"  # noqa: S608 - likewise

    @property
    def _base(self) -> str:
        return f"list_extract({self._bases.tolist()}, file_index::BIGINT + 1)" if len(self._bases) > 2 else "0"

    def _rows(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        within: NDArray[np.int64] = batch["file_row_number"].to_numpy()
        return within if len(self._bases) == 2 else within + self._bases[batch["file_index"].to_numpy()]

    def _columns(self) -> dict[str, str]:
        try:
            described = self._connection.sql(f"DESCRIBE SELECT * FROM {self._relation}").fetchall()  # noqa: S608
        except duckdb.Error as error:
            raise DataError(f"the Parquet files cannot be read: {error}. Check that all of them exist.") from error
        columns = {str(row[0]): str(row[1]) for row in described}
        missing = [name for name in _NEEDED if name not in columns]
        if missing:
            raise DataError(f"the files lack column {missing[0]!r}; they have {sorted(columns)}. Map a column to it.")
        return columns

    def _first_rows(self, files: Sequence[str]) -> NDArray[np.int64]:
        counted = self._connection.sql(
            f"SELECT file_index, count(*) AS rows FROM {self._relation} GROUP BY 1"  # noqa: S608 - likewise
        ).to_arrow_table()
        rows = np.zeros(len(files) + 1, dtype=np.int64)
        rows[counted["file_index"].to_numpy().astype(np.int64) + 1] = counted["rows"].to_numpy()
        return np.cumsum(rows)

    def _span(self, data: DataConfig) -> Span:
        events, first, last, nulls = self._connection.sql(
            f"SELECT count(*), min(epoch_us({TIMESTAMP})), max(epoch_us({TIMESTAMP})), "  # noqa: S608 - likewise
            f"count(*) FILTER ({TIMESTAMP} IS NULL) FROM {self._events}"
        ).fetchall()[0]
        if nulls:
            raise DataError(f"{nulls} of {events} events have no timestamp. Correct or remove these rows.")
        if not events:
            raise SplitError(
                f"label {data.label!r} (data.label_minimum {data.label_minimum}) leaves 0 of {self._bases[-1]} "
                "interactions. Choose another label or more data."
            )
        return Span(int(first), int(last))


def _connect(limits: ScanLimits, scratch: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(scratch / "duckdb"),
        "threads": limits.threads,
        "preserve_insertion_order": False,  # every event carries its row; batches may come in any order
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if limits.memory is not None:
        config["memory_limit"] = limits.memory
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _first_words(hashes: pa.Array) -> NDArray[np.uint64]:
    """Return the first 8 of each value's 16 bytes as a number, the first byte weighing most."""
    words = np.frombuffer(hashes.cast(pa.binary(16)).buffers()[1], dtype=">u8").reshape(-1, 2)
    start = hashes.offset
    return words[start : start + len(hashes), 0].astype(np.uint64)
