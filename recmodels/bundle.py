"""What is deployed: a scorer with its vocabulary, items and recipe, in one folder named by one digest over all.

Nothing in a bundle is about a person, a place or the time it was made, so the same training gives the same digest.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from recmodels.data.schema import ITEM_ID
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.errors import BundleError, DataError
from recmodels.manifest import FORMAT_VERSION, MAX_BYTES, Manifest, publish, seal, verify
from recmodels.recipe import Recipe
from recmodels.scorers import Scorer, load_scorer

__all__ = ["Bundle", "Manifest", "load_bundle", "swap_ids", "write_bundle"]

_ITEMS = "items.parquet"
_VOCABULARY = "vocabulary.parquet"
_COUNTS = "counts.safetensors"
_SCORER = "scorer"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle in memory.

    Attributes:
        digest: SHA-256 over everything in it; also its folder's name.
        path: Its folder.
        manifest: What it says of itself.
        vocabulary: The catalogue at the cutoff.
        items: Schema `ITEMS`, aligned row by row with `vocabulary.ids`.
        item_counts: (V,) training interactions of each item.
        scorer: What gives the scores.
    """

    digest: str
    path: Path
    manifest: Manifest
    vocabulary: Vocabulary
    items: pa.Table
    item_counts: NDArray[np.int64]
    scorer: Scorer


def write_bundle(
    root: Path,
    *,
    scorer: Scorer,
    vocabulary: Vocabulary,
    items: pa.Table,
    item_counts: NDArray[np.int64],
    recipe: Recipe,
    snapshot: str,
    trained_until: datetime,
    metrics: Mapping[str, float],
) -> str:
    """Write a bundle to ``root/<digest>/`` and return its digest.

    The folder appears at once and complete, or not at all; writing the same bundle twice changes nothing, and
    repairs a folder that was damaged in between.

    Args:
        root: Folder of all bundles; made where it is missing.
        scorer: What the model exported.
        vocabulary: The catalogue at the cutoff.
        items: Schema `ITEMS`, aligned row by row with `vocabulary.ids`.
        item_counts: (V,) training interactions of each item.
        recipe: What was trained.
        snapshot: Fingerprint of the data.
        trained_until: The cutoff (UTC).
        metrics: Validation metrics; finite numbers.
    """
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        model=recipe.model.name,
        scorer=scorer.kind,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest,
        snapshot=snapshot,
        trained_until=trained_until,
        metrics=dict(metrics),
        num_items=len(vocabulary),
        files={},
    )
    return _write(root, manifest, scorer=scorer, vocabulary=vocabulary, items=items, item_counts=item_counts)


def load_bundle(root: Path, digest: str, *, max_bytes: int = MAX_BYTES) -> Bundle:
    """Read ``root/<digest>/`` after every file in it was found to be what the digest says.

    Args:
        root: Folder of all bundles.
        digest: The bundle that is wanted, from a source that is trusted, such as the rollouts table.
        max_bytes: Refuse a bundle larger than this.

    Raises:
        BundleError: The bundle is missing, incomplete, altered, too large, of a newer format, or not what the
            digest says.
    """
    folder, manifest = root / digest, verify(root, digest, max_bytes=max_bytes)
    try:
        vocabulary = Vocabulary.from_table(pq.read_table(folder / _VOCABULARY))
        items = pq.read_table(folder / _ITEMS)
        item_counts = load_file(folder / _COUNTS)["item_counts"]
    except (OSError, KeyError, pa.ArrowException, SafetensorError, DataError) as error:
        raise BundleError(f"bundle {digest[:12]} cannot be read ({error!r}). Train the model again.") from error
    scorer = load_scorer(manifest.scorer, folder / _SCORER)
    _check_alignment(digest, vocabulary=vocabulary, items=items, item_counts=item_counts, scorer=scorer)
    return Bundle(digest, folder, manifest, vocabulary, items, item_counts, scorer)


def swap_ids(root: Path, digest: str, *, seed: int) -> str:
    """Write a deliberately bad model and return its digest: the same bundle with the item ids dealt out anew.

    The model then scores the wrong items, while items and counts still tell the truth about the ids they stand by,
    so blocked items stay blocked.

    Args:
        root: Folder of all bundles.
        digest: The bundle to spoil; it stays as it is.
        seed: Of the permutation.

    Raises:
        BundleError: The bundle cannot be read.
    """
    bundle = load_bundle(root, digest)
    order = np.random.default_rng(seed).permutation(len(bundle.vocabulary))
    counts = bundle.item_counts.copy()
    counts[FIRST_ITEM:] = bundle.item_counts[FIRST_ITEM:][order]
    manifest = bundle.manifest.model_copy(update={"note": f"item ids swapped, seed {seed}, from {digest}"})
    return _write(
        root,
        manifest,
        scorer=bundle.scorer,
        vocabulary=Vocabulary(bundle.vocabulary.ids[order]),
        items=bundle.items.take(pa.array(order)),
        item_counts=counts,
    )


def _write(
    root: Path,
    manifest: Manifest,
    *,
    scorer: Scorer,
    vocabulary: Vocabulary,
    items: pa.Table,
    item_counts: NDArray[np.int64],
) -> str:
    _check_alignment("to be written", vocabulary=vocabulary, items=items, item_counts=item_counts, scorer=scorer)
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        (folder / _SCORER).mkdir()
        scorer.save(folder / _SCORER)
        pq.write_table(items.replace_schema_metadata(None), folder / _ITEMS, store_schema=True)
        pq.write_table(vocabulary.to_table(), folder / _VOCABULARY)
        save_file({"item_counts": item_counts.astype(np.int64, copy=False)}, folder / _COUNTS)
        digest = seal(folder, manifest)
        publish(folder, root / digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return digest


def _check_alignment(
    digest: str, *, vocabulary: Vocabulary, items: pa.Table, item_counts: NDArray[np.int64], scorer: Scorer
) -> None:
    sizes = (vocabulary.size, len(items) + FIRST_ITEM, len(item_counts), scorer.vocabulary_size)
    if len(set(sizes)) > 1:
        raise BundleError(
            f"bundle {digest[:12]} does not fit together: vocabulary, items, counts and scorer are made for "
            f"{', '.join(str(size) for size in sizes)} entries. Build all four from one split."
        )
    if items[ITEM_ID].to_pylist() != vocabulary.ids.tolist():
        raise BundleError(f"bundle {digest[:12]}: items and vocabulary differ in order. Align the items with it.")
