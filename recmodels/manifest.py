"""A bundle's manifest and digest, and the checks that a folder passes before any file in it is read.

The digest is the SHA-256 of the manifest's canonical JSON, which holds the SHA-256 of every other file.
"""

import hashlib
import json
import os
import re
import shutil
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from recmodels.errors import BundleError
from recmodels.lineage import WarmStartReport
from recmodels.ranking.choice import RankingRelease
from recmodels.reranking.config import RerankingConfig
from recmodels.retrieval.config import RetrievalReport

FORMAT_VERSION = 5
"""Of what is written; 2 added `retrieval`, 3 trained weights and `warm_start`, 4 `reranking`, 5 `ranking`."""
_READABLE = (1, 2, 3, 4, 5)
MAX_BYTES = 8 * 2**30
"""Largest bundle that is read unless the caller says otherwise."""

_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 4 * 2**20
_SUFFIXES = (".safetensors", ".onnx", ".json", ".parquet", ".faiss")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESTORE = "Restore the bundle from where it was built, or train the model again."


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: int
    model: str
    """Name of the model plug-in that was trained."""
    scorer: str
    """Kind of the scorer, see `recmodels.scorers`."""
    recipe: dict[str, Any]
    """The recipe as JSON, not parsed: who serves a bundle need not know its model."""
    recipe_digest: str
    snapshot: str
    """Fingerprint of the data."""
    trained_until: datetime
    """No training event is at or after this time (UTC)."""
    metrics: dict[str, float]
    """Validation metrics of the model."""
    num_items: int
    retrieval: RetrievalReport | None = None
    """How the items are searched; None for a model without item vectors, whose items are all scored."""
    warm_start: WarmStartReport | None = None
    """Which bundle training went on from; None for a model trained from scratch."""
    reranking: RerankingConfig = RerankingConfig()
    """How candidates become lists: a parameter of the release, which may differ from what the recipe asked for."""
    ranking: RankingRelease | None = None
    """How candidates are ranked by the bundle's second stage, a parameter of the release; None for one without."""
    note: str = ""
    """What was done to the bundle after training; empty for a bundle as it was trained."""
    files: dict[str, str]
    """SHA-256 of every other file, by its path within the bundle."""


def seal(folder: Path, manifest: Manifest) -> str:
    """Write the manifest over the files of a complete folder, last, and return the digest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
    text = _canonical(manifest.model_copy(update={"files": files}))
    (folder / _MANIFEST).write_bytes(text)
    for path in [*paths, folder / _MANIFEST]:
        _sync(path)
    return hashlib.sha256(text).hexdigest()


def publish(folder: Path, target: Path) -> None:
    """Rename a sealed folder to its digest; one that is already there stays, unless it is damaged."""
    folder.chmod(0o755)
    if target.exists():
        try:
            verify(target.parent, target.name)
        except BundleError:
            target.rename(folder.with_name(folder.name + ".damaged"))
            shutil.rmtree(folder.with_name(folder.name + ".damaged"))
        else:
            return
    folder.rename(target)
    _sync(target.parent)


def verify(root: Path, digest: str, *, max_bytes: int = MAX_BYTES) -> Manifest:
    """Check a bundle's folder against its digest and return the manifest; no other file is interpreted.

    Raises:
        BundleError: The folder is missing, incomplete, altered, too large, of a newer format, holds a file that is
            not listed or not of a permitted type, or is not what the digest says.
    """
    if not _DIGEST.fullmatch(digest):
        raise BundleError(f"bundle digest {digest!r} is not 64 hexadecimal digits. Take it from `everfeed status`.")
    folder = root / digest
    if folder.is_symlink() or not folder.is_dir():
        raise BundleError(f"bundle {digest[:12]} is not in {root}. {_RESTORE}")
    manifest = _read_manifest(folder, digest)
    present = _regular_files(folder, digest, max_bytes)
    _check_names(digest, listed=set(manifest.files), present=present)
    for name, expected in manifest.files.items():
        if _sha256(folder / name) != expected:
            raise BundleError(f"bundle {digest[:12]}: {name} was altered after it was built. {_RESTORE}")
    return manifest


def _read_manifest(folder: Path, digest: str) -> Manifest:
    path = folder / _MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"bundle {digest[:12]} has no {_MANIFEST}. {_RESTORE}")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BundleError(f"bundle {digest[:12]}: {_MANIFEST} is larger than {_MAX_MANIFEST_BYTES} bytes. {_RESTORE}")
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != digest:
        raise BundleError(f"bundle {digest[:12]}: {_MANIFEST} is not the one that the digest names. {_RESTORE}")
    try:
        version = json.loads(text)["format_version"]
        if version not in _READABLE:
            raise BundleError(
                f"bundle {digest[:12]} has format version {version!r}; this Everfeed reads "
                f"{', '.join(map(str, _READABLE))}. Upgrade Everfeed, or train the model again with this one."
            )
        return Manifest.model_validate_json(text)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"bundle {digest[:12]}: {_MANIFEST} cannot be read ({error}). {_RESTORE}") from error


def _regular_files(folder: Path, digest: str, max_bytes: int) -> set[str]:
    present, total = set(), 0
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"bundle {digest[:12]}: {name} is a link or a special file; none is allowed. {_RESTORE}")
        if path.is_file():
            present.add(name)
            total += path.stat().st_size
    if total > max_bytes:
        raise BundleError(f"bundle {digest[:12]} holds {total} bytes; at most {max_bytes} are read. Raise max_bytes.")
    return present - {_MANIFEST}


def _check_names(digest: str, *, listed: set[str], present: set[str]) -> None:
    for name in sorted(listed):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.as_posix() != name or path.suffix not in _SUFFIXES:
            raise BundleError(
                f"bundle {digest[:12]}: the manifest lists {name!r}; names are relative, inside the bundle, and end in "
                f"{', '.join(_SUFFIXES)}. {_RESTORE}"
            )
    if missing := sorted(listed - present):
        raise BundleError(f"bundle {digest[:12]} lacks {', '.join(missing)}. {_RESTORE}")
    if extra := sorted(present - listed):
        raise BundleError(f"bundle {digest[:12]} holds {', '.join(extra)}, unknown to its manifest. {_RESTORE}")


def _canonical(manifest: Manifest) -> bytes:
    value = manifest.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
