"""The lake: Delta tables that are written window by window, read with DuckDB at any version, and can forget a user."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, Transaction

from infra.lake_erasure import Erasure, count, erase, first_moment, forget_older_versions, targets_of
from infra.lake_layout import TIME_COLUMNS, conform, partition_of, partition_range, with_partition
from infra.lake_place import LakePlace, StoredFile
from infra.lake_queries import count_days, refuse_outside, select_rows, time_column
from infra.lake_tables import DeltaTables, explained
from infra.locks import exclusive, shared

__all__ = ["Erasure", "Lake", "TableVersion"]


@dataclass(frozen=True)
class TableVersion:
    """One version of a table.

    Attributes:
        version: Its number.
        written_at: When it was written.
        operation: Delta's word for what was done.
        is_erased: A user was erased after it, so it can no longer be read.
    """

    version: int
    written_at: datetime
    operation: str
    is_erased: bool


class Lake:
    """The tables of one place.

    Args:
        place: Where they are; a text is a folder, or a URL whose store the AWS variables tell of.

    Raises:
        StoreError: The place's name has a character that Delta does not take.
    """

    def __init__(self, place: str | LakePlace) -> None:
        self.place = LakePlace.of(place) if isinstance(place, str) else place
        self._tables = DeltaTables(self.place)

    def write_window(self, table_name: str, frame: pa.Table, *, start: datetime, end: datetime) -> int:
        """Replace the rows with ``start <= time < end`` by `frame`, in one commit; an empty frame clears the window.

        Args:
            table_name: A table with a time column.
            frame: Rows in the table's schema, all of them in the window.
            start: First moment of the window.
            end: First moment after it.

        Returns:
            The table's new version.

        Raises:
            DataError: The frame is not in the schema, or has rows outside the window.
            StoreError: The table is damaged.
        """
        column = time_column(table_name)
        frame = conform(frame, table_name)
        refuse_outside(frame, column=column, start=start, end=end, table_name=table_name)

        def write() -> None:
            partition = self._partition(table_name) or partition_of(frame, column)
            conditions = [(column, ">=", start.isoformat()), (column, "<", end.isoformat())]
            conditions += partition_range(partition, start=start, end=end)
            predicate = " AND ".join(f"{name} {sign} '{value}'" for name, sign, value in conditions)
            rows = with_partition(frame, column, partition)
            self._tables.overwrite(table_name, rows, partition=partition, predicate=predicate)

        return self._commit(table_name, write)

    def replace(self, table_name: str, frame: pa.Table) -> int:
        """Replace the whole table by `frame`, in one commit.

        Returns:
            The table's new version.

        Raises:
            DataError: The frame is not in the schema.
            StoreError: The table is damaged.
        """
        frame = conform(frame, table_name)
        column = TIME_COLUMNS.get(table_name)

        def write() -> None:
            partition = None if column is None else self._partition(table_name) or partition_of(frame, column)
            self._tables.write(
                table_name,
                frame if column is None or partition is None else with_partition(frame, column, partition),
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=None if partition is None else [partition],
            )

        return self._commit(table_name, write)

    def append(self, table_name: str, frame: pa.Table, *, key: str = "") -> int:
        """Add rows, in one commit.

        Args:
            table_name: A table with a time column.
            frame: Rows in the table's schema.
            key: What is appended under a key is appended once: a second call with it changes nothing.

        Returns:
            The table's version.

        Raises:
            DataError: The frame is not in the schema.
            StoreError: The table is damaged.
        """
        column = time_column(table_name)
        frame = conform(frame, table_name)

        def write() -> None:
            table = self._tables.find(table_name)
            if key and table is not None and table.transaction_version(key) is not None:
                return
            partition = self._partition(table_name) or partition_of(frame, column)
            self._tables.write(
                table_name,
                with_partition(frame, column, partition),
                mode="append",
                schema_mode="merge",  # a table that an older Everfeed made lacks the contract's newer columns
                partition_by=[partition],
                commit_properties=CommitProperties(app_transactions=[Transaction(key, 1)]) if key else None,
            )

        return self._commit(table_name, write)

    def read(
        self,
        table_name: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        share: float = 1.0,
    ) -> pa.Table:
        """Return rows in the table's schema, sorted by time and key, so that the same content reads the same.

        Args:
            table_name: The table.
            start: Only rows at or after this moment.
            end: Only rows before this moment.
            version: The version to read; None for the newest.
            columns: Only these columns, in this order.
            share: Only the rows of this share of the users, the same users at every read.

        Raises:
            StoreError: The table or version does not exist, is damaged, or a user was erased since that version.
            DataError: A column does not exist.
        """
        with self.reading():
            return select_rows(
                self._tables, table_name, start=start, end=end, version=version, columns=columns, share=share
            )

    def daily_counts(self, table_name: str, *, version: int | None = None) -> dict[date, int]:
        """Return the number of rows of each UTC day that has any.

        Raises:
            StoreError: The table or version does not exist or is damaged.
        """
        with self.reading():
            return count_days(self._tables, table_name, version=version)

    def version(self, table_name: str) -> int | None:
        """Return the newest version of a table, or None if it does not exist.

        Raises:
            StoreError: The table is damaged.
        """
        table = self._tables.find(table_name)
        return None if table is None else int(table.version())

    def versions(self, table_name: str) -> list[TableVersion]:
        """Return the versions of a table, the newest first.

        Raises:
            StoreError: The table does not exist or is damaged.
        """
        first = self._tables.first_readable(table_name)
        table = self._tables.open(table_name)
        with self._tables.explained(table_name):
            history = table.history()
        return [
            TableVersion(
                version=entry["version"],
                written_at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
                operation=str(entry["operation"]),
                is_erased=entry["version"] < first,
            )
            for entry in history
        ]

    def file_uris(self, table_name: str, version: int | None = None) -> list[str]:
        """Return the Parquet files of a version, for a reader of its own that holds `reading` meanwhile.

        Raises:
            StoreError: The table or version does not exist, is damaged, or a user was erased since that version.
        """
        return self._tables.files(self._tables.open(table_name, version=version), table_name)

    def table_names(self) -> list[str]:
        """Return the tables, sorted.

        Raises:
            StoreError: The object store cannot be used.
        """
        with explained(self.place.root, self.place):
            return self.place.table_names()

    def expired_files(
        self, table_name: str, *, history: timedelta, keep_versions: Collection[int] = ()
    ) -> list[StoredFile]:
        """Return the files of a table that are in no version of the last `history`, nor in one of `keep_versions`.

        Args:
            table_name: A table.
            history: How long a version can be read.
            keep_versions: Versions that stay readable, however old; those that an erasure took away are passed over.

        Raises:
            StoreError: The table does not exist or is damaged.
        """
        table = self._tables.open(table_name)
        first = self._tables.first_readable(table_name)
        kept = sorted({version for version in keep_versions if first <= version <= table.version()} | {table.version()})
        hours = math.ceil(max(history, self.place.grace) / timedelta(hours=1))
        with self._tables.explained(table_name):
            found = table.vacuum(hours, enforce_retention_duration=False, full=True, keep_versions=kept)
            return sorted(self.place.stored(table_name, sorted(set(found))), key=lambda file: file.uri)

    def delete_file(self, uri: str) -> None:
        """Delete a file that `expired_files` named.

        Raises:
            StoreError: The object store refuses.
        """
        with explained(uri, self.place):
            self.place.delete(uri)

    def alone(self) -> AbstractContextManager[None]:
        """Wait until nobody reads or writes, and hold off all others: for who deletes files."""
        return self._held(exclusive)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold off erasures while files are being read."""
        with self._held(shared):
            yield

    def erase_user(self, user_id: str, *, user_key: str = "", now: datetime) -> Erasure:
        """Remove every row about a user from every table, and every older version of those tables.

        It waits until nobody reads or writes. Nothing of the user stays, neither in files nor in the tables' logs.
        Doing it again changes nothing, and finishes one that was interrupted.

        Args:
            user_id: The raw id, in interactions, users and quarantine.
            user_key: The user's key, in impressions and, through their requests, outcomes; empty for none.
            now: The moment of the erasure.

        Raises:
            StoreError: A table is damaged.
        """
        with self._held(exclusive):
            targets = targets_of(self._tables, user_id=user_id, user_key=user_key)
            rows = {target.table_name: erase(self._tables, target) for target in targets}
            versions = {name: forget_older_versions(self._tables, name, now=now) for name in rows}
        return Erasure({name: count for name, count in rows.items() if count}, versions)

    def count_user(self, user_id: str, *, user_key: str = "") -> dict[str, int]:
        """Return how many rows of each table are about a user; tables without any are left out.

        Args:
            user_id: As for `erase_user`.
            user_key: As for `erase_user`.

        Raises:
            StoreError: A table is damaged.
        """
        with self.reading():
            targets = targets_of(self._tables, user_id=user_id, user_key=user_key)
            counted = {target.table_name: count(self._tables, target) for target in targets}
        return {name: rows for name, rows in counted.items() if rows}

    def first_moment(self, user_id: str) -> datetime | None:
        """Return the time of a user's first interaction; None without any.

        Raises:
            StoreError: The table is damaged.
        """
        with self.reading():
            return first_moment(self._tables, user_id)

    def is_readable(self, table_name: str, version: int) -> bool:
        """Say whether a version can still be read: whether nobody was erased from the table since."""
        return version >= self._tables.first_readable(table_name)

    def _held(self, lock: Callable[[Path], AbstractContextManager[None]]) -> AbstractContextManager[None]:
        return nullcontext() if self.place.lock is None else lock(self.place.lock)

    def _commit(self, table_name: str, write: Callable[[], None]) -> int:
        with self.reading():  # an erasure deletes files that no version lists yet, so writers hold it off too
            return self._tables.commit(table_name, write)

    def _partition(self, table_name: str) -> str | None:
        table = self._tables.find(table_name)
        return None if table is None else str(table.metadata().partition_columns[0])
