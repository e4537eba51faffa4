"""Lakes for tests, of a folder and of an object store, with a look at their files behind the lake's back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from infra.lake import Lake
from infra.lake_place import LakePlace
from tests.object_store import S3Server


class Bed(ABC):
    """Where the lake of a test lies."""

    @abstractmethod
    def lake(self) -> Lake:
        """Open it, as another process does."""

    @abstractmethod
    def content(self) -> dict[str, bytes]:
        """Return the bytes of every file, by its name from the lake on."""

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Write a file, over an older one."""

    def files_with(self, text: bytes) -> list[str]:
        return [name for name, content in self.content().items() if text in content]

    def partitions(self, table: str) -> set[str]:
        parts = (name.split("/") for name in self.content())
        return {folder for first, *folders in parts if first == table for folder in folders if "=" in folder}


@dataclass(frozen=True)
class FolderBed(Bed):
    folder: Path

    def lake(self) -> Lake:
        return Lake(str(self.folder))

    def content(self) -> dict[str, bytes]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}

    def put(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)


@dataclass(frozen=True)
class StoreBed(Bed):
    server: S3Server
    url: str
    lock: Path

    def lake(self) -> Lake:
        return Lake(LakePlace.of(self.url, store=self.server.store, lock=self.lock))

    def content(self) -> dict[str, bytes]:
        return self.server.objects(self.url)

    def put(self, name: str, content: bytes) -> None:
        self.server.put(f"{self.url}/{name}", content)


def store_bed(server: S3Server, folder: Path) -> StoreBed:
    """Return an empty place in a bucket of its own."""
    bucket = f"bucket-{uuid4().hex[:12]}"
    server.make(bucket)
    return StoreBed(server, f"s3://{bucket}/lake.of_a-test", folder / "lake.lock")
