"""Where a lake is: a folder of this machine, or a place in an object store. All that touches its files asks here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from infra.object_store import ObjectStore, checked_url, is_url
from recmodels.errors import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ODD_CHARACTERS: Final = frozenset("[]%")
_SCHEME: Final = "s3://"
_LOG: Final = "_delta_log"


@dataclass(frozen=True)
class StoredFile:
    """A file of the lake: its path or URL, its bytes, when it was written."""

    uri: str
    size: int
    written_at: datetime


@dataclass(frozen=True)
class LakePlace:
    """A folder, or a URL with its store.

    Attributes:
        root: Absolute path, or ``s3://bucket/prefix``.
        store: The object store; None for a folder.
        lock: What readers and erasures of this machine hold; None where there is nothing to hold.
    """

    root: str
    store: ObjectStore | None = None
    lock: Path | None = None

    @classmethod
    def of(cls, place: str, *, store: ObjectStore | None = None, lock: Path | None = None) -> "LakePlace":
        """Return the place that a setting names.

        Args:
            place: A folder or a URL.
            store: How a URL's store is reached; None for what the AWS libraries find by themselves.
            lock: What readers and erasures of a URL hold on this machine; a folder holds its own.

        Raises:
            StoreError: The name has characters that Delta does not take, or the URL is none of S3.
        """
        if is_url(place):
            return cls(checked_url(place, variable="EVERFEED_LAKE_URL"), store or ObjectStore(), lock)
        root = str(Path(place).expanduser().resolve())
        if odd := sorted(_ODD_CHARACTERS.intersection(root)):
            raise StoreError(
                f"the lake's folder {root!r} has {' '.join(odd)} in its name, which Delta does not take."
                " Choose another with EVERFEED_HOME or EVERFEED_LAKE_PATH."
            )
        return cls(root, None, Path(root) / ".lock")

    @property
    def is_remote(self) -> bool:
        """Whether other machines may write to it, whom no lock of this one holds off."""
        return self.store is not None

    @property
    def grace(self) -> timedelta:
        """How old a file that no version names must be before it is taken for a crashed writer's, not a running one's.

        In a folder the lock holds writers off, so that every such file is left over.
        """
        return timedelta(hours=1) if self.is_remote else timedelta(0)

    @cached_property
    def options(self) -> dict[str, str] | None:
        """What deltalake is told of the store."""
        return None if self.store is None else self.store.delta_options()

    def files(self, uris: Iterable[str]) -> list[str]:
        """Return files as DuckDB is to be given them: Delta escapes blanks in paths too."""
        return sorted(uris) if self.is_remote else [unquote(uri) for uri in sorted(uris)]

    def attach(self, connection: "DuckDBPyConnection") -> None:
        """Let a connection read the files; DuckDB's own extension for S3 would have to be fetched."""
        if self.store is not None:
            connection.register_filesystem(self._reader)

    def stored(self, table_name: str, paths: Sequence[str]) -> list[StoredFile]:
        """Return those of a table's files, named from its folder on and escaped as in its log, that are there."""
        uris = [f"{self.root}/{table_name}/{unquote(path)}" for path in paths]
        if not uris:
            return []
        found = self._filesystem.get_file_info([uri.removeprefix(_SCHEME) for uri in uris])
        return [StoredFile(uri, info.size, info.mtime) for uri, info in zip(uris, found, strict=True) if info.is_file]

    def delete(self, uri: str) -> None:
        """Delete a file of the lake.

        Raises:
            OSError: The store refuses.
        """
        self._filesystem.delete_file(uri.removeprefix(_SCHEME))

    def table_names(self) -> list[str]:
        """Return the tables, sorted.

        Raises:
            OSError: The store cannot be listed.
        """
        from pyarrow.fs import FileSelector, FileType

        bare = self.root.removeprefix(_SCHEME)
        found = self._filesystem.get_file_info(FileSelector(bare, allow_not_found=True))
        if self.is_remote and not found:  # which a bucket that is not there has in common with an empty place
            bucket = bare.split("/", 1)[0]
            if self._filesystem.get_file_info(bucket).type == FileType.NotFound:
                raise FileNotFoundError(f"NoSuchBucket: {bucket}")
        folders = [info.base_name for info in found if info.type == FileType.Directory]
        logs = self._filesystem.get_file_info([f"{bare}/{name}/{_LOG}" for name in folders]) if folders else []
        return sorted(name for name, log in zip(folders, logs, strict=True) if log.type == FileType.Directory)

    @cached_property
    def _filesystem(self) -> Any:
        from pyarrow.fs import LocalFileSystem

        return LocalFileSystem() if self.store is None else self.store.filesystem()

    @cached_property
    def _reader(self) -> Any:
        from fsspec.implementations.arrow import ArrowFSWrapper

        class Reader(ArrowFSWrapper):  # type: ignore[misc]
            protocol = "s3"

        return Reader(self._filesystem, skip_instance_cache=True)
