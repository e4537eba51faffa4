"""Delta tables of one place: opened at a version, queried with DuckDB, overwritten in one commit. Takes no locks."""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from infra.lake_layout import TIME_COLUMNS, partition_range
from infra.lake_place import LakePlace
from recmodels.data import schema
from recmodels.errors import StoreError
from recmodels.space import is_disk_full

ERASURES: Final = "_erasures"
"""The table that says which versions of the others an erasure took away."""

_COMMIT_ATTEMPTS: Final = 8
_DAMAGE: Final = (DeltaError, duckdb.IOException, duckdb.InvalidInputException, FileNotFoundError)
_MEANWHILE: Final = "; or another machine erased a user while this one read: run again"
DUCKDB_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
"""No connection looks for extensions outside: what is needed is linked in."""


class DeltaTables:
    """The tables of one place.

    Args:
        place: Where they are.
    """

    def __init__(self, place: LakePlace) -> None:
        self.place = place

    def uri(self, table_name: str) -> str:
        """Return where a table is."""
        return f"{self.place.root}/{table_name}"

    def explained(self, table_name: str) -> AbstractContextManager[None]:
        """Turn errors about a table's files, and about the store that they are in, into `StoreError`."""
        return explained(self.uri(table_name), self.place)

    def find(self, table_name: str) -> DeltaTable | None:
        """Return the newest version of a table, or None if it does not exist.

        Raises:
            StoreError: The table is damaged.
        """
        uri, options = self.uri(table_name), self.place.options
        with self.explained(table_name):
            return DeltaTable(uri, storage_options=options) if DeltaTable.is_deltatable(uri, options) else None

    def open(self, table_name: str, *, version: int | None = None) -> DeltaTable:
        """Return a table at a version, by default the newest.

        Raises:
            StoreError: The table or version does not exist, is damaged, or was taken away by an erasure.
        """
        table = self.find(table_name)
        if table is None:
            raise StoreError(
                f"the lake {self.place.root} has no table {table_name!r} yet. Ingest a source with `everfeed run`."
            )
        if version is None or version == table.version():
            return table
        if not 0 <= version <= table.version():
            raise StoreError(
                f"{table_name} has no version {version}: its newest is {table.version()}. Choose one up to it."
            )
        first = self.first_readable(table_name)
        if version < first:
            raise StoreError(
                f"{table_name} version {version} can no longer be read: a user was erased, and the versions before"
                f" {first} went with them. Run again on the newest version."
            )
        with self.explained(table_name):
            table.load_as_version(version)
        return table

    def first_readable(self, table_name: str) -> int:
        """Return the first version of a table that no erasure has taken away."""
        erasures = self.find(ERASURES)
        if erasures is None:
            return 0
        query = 'SELECT max(first_version) AS version FROM files WHERE "table" = $1'
        version = self.query(ERASURES, query, files=self.files(erasures, ERASURES), parameters=[table_name])["version"][
            0
        ].as_py()
        return 0 if version is None else int(version)

    def files(
        self, table: DeltaTable, table_name: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[str]:
        """Return the Parquet files that can hold rows with ``start <= time < end``, as paths or URLs."""
        partitions = table.metadata().partition_columns
        filters = partition_range(partitions[0], start=start, end=end) if partitions else []
        with self.explained(table_name):
            return self.place.files(table.file_uris(file_pruning_predicate=filters or None))

    def query(
        self, table_name: str, query: str, *, files: Sequence[str], parameters: Sequence[object] = ()
    ) -> pa.Table:
        """Run a query over the relation ``files``, which has the rows of the given Parquet files."""
        with self.explained(table_name), duckdb.connect(":memory:", config=DUCKDB_CONFIG) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self.place.attach(connection)
            paths = [glob.escape(file) for file in files]
            connection.read_parquet(paths, union_by_name=True, hive_partitioning=False).create_view("files")
            return connection.sql(query, params=list(parameters)).to_arrow_table()

    def overwrite(self, table_name: str, rows: pa.Table, *, partition: str, predicate: str) -> None:
        """Replace what the predicate chooses by `rows`, making the table where it is missing."""
        table = self.find(table_name)
        if table is not None and rows.num_rows == 0:
            table.delete(predicate)
            return
        self.write(
            table_name,
            rows,
            mode="error" if table is None else "overwrite",
            predicate=None if table is None else predicate,
            partition_by=[partition],
        )

    def write(self, table_name: str, rows: pa.Table, **how: Any) -> None:
        """Write rows in one commit, as `write_deltalake` does; a new table gets the lake's settings."""
        configuration = None if table_name == ERASURES else configuration_of(table_name)
        write_deltalake(
            self.uri(table_name), rows, configuration=configuration, storage_options=self.place.options, **how
        )

    def commit(self, table_name: str, write: Callable[[], None]) -> int:
        """Write, and again when another writer came first; return the version that stands then.

        Raises:
            StoreError: Other writers came first every time, or the table is damaged.
        """
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            try:
                with self.explained(table_name):
                    write()
            except CommitFailedError as error:
                if attempt == _COMMIT_ATTEMPTS:
                    raise StoreError(
                        f"{self.uri(table_name)} could not be written: another writer came first {attempt} times"
                        f" ({_first_line(error)}). Let one flow write a window at a time."
                    ) from error
            else:
                break
        table = self.find(table_name)
        assert table is not None
        return int(table.version())


def configuration_of(table_name: str) -> dict[str, str | None]:
    """Return a new table's settings: statistics on times alone, since those of ids would put users into its log."""
    column = TIME_COLUMNS.get(table_name) or (schema.SIGNED_UP_AT if table_name == "users" else schema.ITEM_ID)
    return {"delta.dataSkippingStatsColumns": column}


@contextmanager
def explained(uri: str, place: LakePlace | None = None) -> Iterator[None]:
    """Turn errors about damaged tables into `StoreError`; conflicts between writers pass as they are.

    What an object store answers is told in words of our own alone, since it may repeat keys and tokens.
    """
    store = None if place is None else place.store
    try:
        yield
    except TableNotFoundError:
        raise
    except (DeltaError, duckdb.IOException, duckdb.InvalidInputException, OSError) as error:
        if is_disk_full(error):
            raise StoreError(
                f"table {uri} cannot be written: the disk is full. Free space (`everfeed gc --dry-run` says what nobody"
                " needs), then try again; the table is as it was."
            ) from error
        if store is not None and (words := store.explanation(uri, error)):
            raise StoreError(words) from None
        if isinstance(error, CommitFailedError) or not isinstance(error, _DAMAGE):
            raise
        raise StoreError(
            f"table {uri} is damaged ({_first_line(error)}). Restore it from a backup, or move the folder away and"
            " ingest again. An older version than the newest may be one whose files `everfeed gc` removed"
            f"{_MEANWHILE if store is not None else ''}."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
