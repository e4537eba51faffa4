"""What a backup says of itself: every file with its SHA-256; written last, so that without one there is no backup."""

import hashlib
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from recmodels.errors import StoreError

FORMAT_VERSION: Final = 1
_FOLDER: Final = "manifests"
_NAME: Final = "%Y%m%dT%H%M%S%fZ"


class KeptFile(msgspec.Struct, frozen=True):
    """One file of the home.

    Attributes:
        path: Where it belongs, from the home on; tables of a lake outside the home stand under ``lake/``.
        size: Its bytes.
        sha256: Digest of its content.
        mode: Its permissions.
        modified_ns: When it was last written, in nanoseconds since 1970.
    """

    path: str
    size: int
    sha256: str
    mode: int
    modified_ns: int


class Manifest(msgspec.Struct, frozen=True):
    """One backup.

    Attributes:
        format_version: Of this document.
        name: The moment that the backup shows, as text; names sort by time.
        made_at: That moment.
        everfeed: Version of Everfeed that made it.
        libraries: Versions of the libraries whose stores are in it.
        schema: Schema version of Everfeed's own tables.
        home: Absolute path of the home that it is of.
        tables: Version of each table of the lake.
        has_secrets: The home's secrets are in it.
        left_out: What of the home is not in it, and why.
        files: Every file, sorted by path.
    """

    format_version: int
    name: str
    made_at: datetime
    everfeed: str
    libraries: dict[str, str]
    schema: str
    home: str
    tables: dict[str, int]
    has_secrets: bool
    left_out: dict[str, str]
    files: list[KeptFile]

    @property
    def size(self) -> int:
        """Bytes of all files together, as they lie in a home."""
        return sum(file.size for file in self.files)


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


def name_of(moment: datetime) -> str:
    """Return the name of the backup of a moment (UTC)."""
    return moment.strftime(_NAME)


def names(folder: Path) -> list[str]:
    """Return the backups that a folder holds, the oldest first."""
    return sorted(path.stem for path in (folder / _FOLDER).glob("*.json"))


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write a manifest beside the earlier ones; it appears whole, or not at all."""
    raw = msgspec.json.encode(manifest)
    sealed = _Sealed(hashlib.sha256(raw).hexdigest(), msgspec.Raw(raw))
    path = folder / _FOLDER / f"{manifest.name}.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            file.write(msgspec.json.encode(sealed))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_manifest(folder: Path, name: str = "") -> Manifest:
    """Return the manifest of a backup, by default of the newest.

    Args:
        folder: Where `everfeed backup` wrote.
        name: Which backup, or how its name begins; empty for the newest.

    Raises:
        StoreError: There is no backup, none or several of this name, or its manifest is damaged or of a newer format.
    """
    known = names(folder)
    if not known:
        raise StoreError(_words_on_nothing(folder))
    found = [one for one in known if one.startswith(name)] if name else known[-1:]
    if len(found) != 1:
        raise StoreError(f"{folder} holds {len(found)} backups of the name {name!r}. It holds: {', '.join(known)}.")
    path = folder / _FOLDER / f"{found[0]}.json"
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        raw = bytes(sealed.manifest)
        if hashlib.sha256(raw).hexdigest() != sealed.sha256:
            raise StoreError(f"{path} was altered after it was written. Choose another backup with --at: {known}.")
        version = msgspec.json.decode(raw).get("format_version")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path} has format version {version!r}; this Everfeed reads {FORMAT_VERSION}. Install the Everfeed"
                " that wrote it, or a newer one."
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, OSError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Choose another backup with --at: {known}.") from error


def _words_on_nothing(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is no folder, so there is no backup in it. Give the folder that `everfeed backup` wrote to."
    if (folder / "objects").is_dir() or (folder / ".lock").exists():
        return (
            f"{folder} was begun as a folder of backups, but has no manifest, which is written last: the backup was"
            " interrupted. Run `everfeed backup` on this folder again; it goes on with what is there."
        )
    return f"{folder} holds no backup. Give the folder that `everfeed backup` wrote to."
