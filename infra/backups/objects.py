"""The files of backups, each content once under its SHA-256, so that a second backup adds what is new alone."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recmodels.errors import StoreError

_CHUNK: Final = 2**20
_WRITING: Final = ".writing-"


@dataclass(frozen=True)
class Content:
    """What a file held when it was read.

    Attributes:
        sha256: Its digest.
        size: Its bytes.
        is_new: It was not there before.
    """

    sha256: str
    size: int
    is_new: bool


class Objects:
    """The contents that a folder of backups holds.

    Args:
        folder: The folder; only its owner may look into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "objects"

    def path(self, sha256: str) -> Path:
        """Return where a content is."""
        return self.folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Say whether a content is there."""
        return self.path(sha256).is_file()

    def add(self, source: Path, *, on_bytes: Callable[[int], None]) -> Content:
        """Copy a file's content, unless it is there; it appears whole, or not at all.

        Raises:
            FileNotFoundError: The file is there no longer.
            StoreError: The disk is full, or cannot be written.
        """
        with source.open("rb") as reader, self._writing() as partial, partial.open("wb") as writer:
            digest, size = hashlib.sha256(), 0
            while chunk := reader.read(_CHUNK):
                digest.update(chunk)
                with _explained(self.folder):
                    writer.write(chunk)
                size += len(chunk)
                on_bytes(len(chunk))
            with _explained(self.folder):
                writer.flush()
                is_new = self._keep(partial, digest.hexdigest())
        return Content(digest.hexdigest(), size, is_new)

    def verify(self, wanted: Iterable[tuple[str, int]], *, on_bytes: Callable[[int], None]) -> list[str]:
        """Return what is wrong with contents, each given by its digest and size; nothing where all are right."""
        wrong = []
        for sha256, size in wanted:
            path = self.path(sha256)
            try:
                if path.stat().st_size != size:
                    wrong.append(f"{path} has {path.stat().st_size:,} bytes instead of {size:,}")
                elif digest_of(path, on_bytes=on_bytes) != sha256:
                    wrong.append(f"{path} was altered")
            except OSError as error:
                wrong.append(f"{path} cannot be read ({error.strerror})")
        return wrong

    def sweep(self) -> None:
        """Remove what an interrupted backup was just writing; call it while holding the folder's lock."""
        for path in self.folder.glob(f"{_WRITING}*"):
            path.unlink(missing_ok=True)

    def _keep(self, partial: Path, sha256: str) -> bool:
        path = self.path(sha256)
        if path.is_file() and path.stat().st_size == partial.stat().st_size:
            return False
        path.parent.mkdir(mode=0o700, exist_ok=True)
        partial.replace(path)
        return True

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        with _explained(self.folder):
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=_WRITING, dir=self.folder)
            os.close(number)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def digest_of(path: Path, *, on_bytes: Callable[[int], None]) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Refuse work that the disk has no room for, before it begins.

    Raises:
        StoreError: Less is free than needed.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"{what} needs {needed / 1e6:,.1f} MB at {folder}, where {free / 1e6:,.1f} MB are free. Free"
            f" {(needed - free) / 1e6:,.1f} MB, or choose another folder."
        )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"the backup at {folder.parent} cannot be written ({error.strerror}). No manifest was written, and earlier"
            " backups there are as they were. Free space or fix the permissions, then run it again: it goes on."
        ) from error
