"""Histories of data sets that are larger than memory: DuckDB reads, NumPy sorts, files are mapped.

The users are divided into buckets by a hash of their id. DuckDB scans the Parquet files and turns ids into numbers;
what arrives, in any order, is put down bucket by bucket on disk; each bucket is then sorted on its own. Memory holds
what DuckDB is allowed, the catalogue, a few numbers a user, and one bucket's events a thread. The rows are those that
`recmodels.data.splits` would make of the same interactions in memory, in the order of bucket and user id.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recmodels.data.buckets import Pile, sort_piles
from recmodels.data.caps import clip_files
from recmodels.data.histories import Histories
from recmodels.data.scan import Scan, ScanLimits, UserNumbers
from recmodels.data.schema import USER_ID
from recmodels.data.vocabulary import Vocabulary
from recmodels.errors import DataError

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import DataConfig

_MANIFEST = "manifest.json"
_VOCABULARY, _USERS = "vocabulary.parquet", "users.parquet"
_COUNTS, _BUCKETS = "item_counts.npy", "bucket_starts.npy"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Assembled:
    """Histories on disk with the catalogue that numbers their items.

    Attributes:
        folder: Where the files are.
        histories: One row a user with an event, sorted by bucket and user id; mapped, not read.
        vocabulary: The catalogue.
        item_counts: ``(V,)`` events of each index; 0 for padding and unknown.
        bucket_starts: ``(B + 1,)`` first row of each bucket, then the number of rows.
        until: First moment (microseconds) after the last event.
    """

    folder: Path
    histories: Histories
    vocabulary: Vocabulary
    item_counts: NDArray[np.int64]
    bucket_starts: NDArray[np.int64]
    until: int

    def user_ids(self) -> pa.Array:
        """Return the raw id of each row, read from disk."""
        return pq.read_table(self.folder / _USERS)[USER_ID].combine_chunks()

    def bucket(self, number: int) -> Histories:
        """Return the rows of one bucket; nothing of other buckets is read when they are used."""
        first, last = self.bucket_starts[number : number + 2].tolist()
        return self.histories.take(np.arange(first, last))

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = True) -> Assembled:
        """Open what `assemble` wrote.

        Args:
            folder: The folder that `assemble` was given.
            mmap: Map the events read-only instead of reading them whole.

        Raises:
            DataError: There is no finished assembly, or a file of it is missing or damaged.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            vocabulary = Vocabulary.from_table(pq.read_table(folder / _VOCABULARY))
            counts = np.load(folder / _COUNTS, allow_pickle=False)
            bucket_starts = np.load(folder / _BUCKETS, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{folder} holds no complete assembly of histories ({error}). Build it again with assemble."
            ) from error
        pa.default_memory_pool().release_unused()  # what a large catalogue's table took
        histories = Histories.load(folder, mmap=mmap)
        found = {"version": _VERSION, "events": len(histories.items), "users": len(histories), "items": len(vocabulary)}
        if {name: manifest.get(name) for name in found} != found:
            raise DataError(f"{folder} holds {found}, but its manifest says {manifest}. Build it again with assemble.")
        return cls(folder, histories, vocabulary, counts, bucket_starts, manifest["until"])


def assemble(
    files: Sequence[str],
    folder: Path,
    *,
    data: DataConfig,
    before: datetime | None = None,
    buckets: int = 16,
    limits: ScanLimits | None = None,
) -> Assembled:
    """Build histories from Parquet files of interactions, and open them mapped.

    The same files, label and buckets give the same bytes. The folder appears when it is complete, or not at all; one
    that exists is replaced.

    Args:
        files: Interactions, such as `Lake.file_uris` lists: at least the columns user_id, item_id, timestamp and
            event_id. Columns of the contract that they lack count as null.
        folder: Where the assembly will be.
        data: The label, and the smallest number of events an item needs.
        before: Only events before this moment; None for all.
        buckets: B, into how many parts users are divided; each is sorted in memory.
        limits: What DuckDB may use.

    Raises:
        DataError: A column is missing, the label has no value, or a timestamp is null.
        SplitError: No event or no item is left.
    """
    if buckets < 1:
        raise ValueError(f"buckets is {buckets}; divide the users into at least 1.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        target, scratch = work / "done", work / "scratch"
        target.mkdir()
        scratch.mkdir()
        with Scan(files, data=data, before=before, limits=limits or ScanLimits(), scratch=scratch) as scan:
            _write(scan, target, scratch=scratch, data=data, buckets=buckets)
        if folder.exists():
            folder.rename(work / "replaced")
        target.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Assembled.load(folder)


def _write(scan: Scan, target: Path, *, scratch: Path, data: DataConfig, buckets: int) -> None:
    vocabulary = scan.catalogue(data.minimum_item_interactions)
    users = scan.number_users(buckets=buckets)
    pile = Pile(users.events_of_buckets, scratch, span=scan.span, users=users.bucket_starts)
    for batch in scan.events(vocabulary):
        pile.add(batch)
    is_whole = data.minimum_item_interactions == 1
    assert not is_whole or pile.size == users.events_of_buckets.sum(), "an event was lost on the way"
    lengths = sort_piles(pile, target, tie_hashes=scan.tie_hashes, threads=scan.limits.threads)
    lengths = clip_files(target, lengths, users.bucket_starts, maximum=data.maximum_repeats)
    _finish(scan, target, users, lengths, vocabulary)


def _finish(
    scan: Scan,
    target: Path,
    users: UserNumbers,
    lengths: NDArray[np.int64],
    vocabulary: Vocabulary,
) -> None:
    """Write what stands beside the events: rows, users, catalogue and, last, the manifest."""
    has_events = lengths > 0  # a user whose items are all too rare is left out
    ends = np.cumsum(lengths)
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(has_events)])
    np.save(target / "starts.npy", (ends - lengths)[has_events], allow_pickle=False)
    np.save(target / "ends.npy", ends[has_events], allow_pickle=False)
    np.save(target / _BUCKETS, kept[users.bucket_starts], allow_pickle=False)
    items = np.load(target / "items.npy", mmap_mode="r", allow_pickle=False)
    np.save(target / _COUNTS, np.bincount(items, minlength=vocabulary.size), allow_pickle=False)
    pq.write_table(vocabulary.to_table(), target / _VOCABULARY)
    ids = scan.user_ids().filter(pa.array(has_events))
    pq.write_table(pa.table({USER_ID: ids}), target / _USERS)
    manifest = {
        "version": _VERSION,
        "events": int(ends[-1]),
        "users": int(has_events.sum()),
        "items": len(vocabulary),
        "until": scan.span.last + 1,
    }
    (target / _MANIFEST).write_text(json.dumps(manifest, indent=1))
