"""Bundles that are as complete as any and hold something else than they should."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.zoo.world import World
from recmodels.bundle import write_bundle
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.manifest import publish, seal
from recmodels.scorers import ItemItemScorer, Scorer

_MANIFEST = "manifest.json"


def with_scorer(world: World, scorer: Scorer, *, items: pa.Table | None = None) -> str:
    """Write the champion's bundle with another scorer, or other items, and return its digest."""
    good = world.good
    return write_bundle(
        world.root,
        scorer=scorer,
        vocabulary=good.vocabulary,
        items=good.items if items is None else items,
        item_counts=good.item_counts,
        recipe=world.recipe,
        snapshot="zoo",
        trained_until=good.manifest.trained_until,
        metrics=good.manifest.metrics,
    )


def with_items(world: World, kept: NDArray[np.int64]) -> str:
    """Write the champion's bundle over some of its items, by row, and return its digest."""
    good, weights = world.good, table_of(world)
    rows = np.concatenate([np.arange(FIRST_ITEM), kept + FIRST_ITEM])
    return write_bundle(
        world.root,
        scorer=ItemItemScorer(weights[rows][:, rows], history_length_of(world)),
        vocabulary=Vocabulary(good.vocabulary.ids[kept]),
        items=good.items.take(pa.array(kept)),
        item_counts=good.item_counts[rows],
        recipe=world.recipe,
        snapshot="zoo",
        trained_until=good.manifest.trained_until,
        metrics=good.manifest.metrics,
    )


def with_ids(world: World, order: NDArray[np.int64]) -> str:
    """Write the champion's bundle with the scorer's row n taken for the item `order[n]`, and return its digest."""
    good = world.good
    counts = good.item_counts.copy()
    counts[FIRST_ITEM:] = good.item_counts[FIRST_ITEM:][order]
    return write_bundle(
        world.root,
        scorer=good.scorer,
        vocabulary=Vocabulary(good.vocabulary.ids[order]),
        items=good.items.take(pa.array(order)),
        item_counts=counts,
        recipe=world.recipe,
        snapshot="zoo",
        trained_until=good.manifest.trained_until,
        metrics=good.manifest.metrics,
    )


def with_weights(world: World, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> str:
    """Write the champion's bundle with other values in its table, and return its digest."""
    weights = table_of(world)
    changed = sparse.csr_array((change(weights.data), weights.indices, weights.indptr), shape=weights.shape)
    return with_scorer(world, ItemItemScorer(changed, history_length_of(world)))


def with_files(
    world: World, digest: str, change: Callable[[Path], None], *, manifest: Mapping[str, Any] | None = None
) -> str:
    """Copy a bundle, change its files, seal it as whoever made it would, and return its digest.

    Args:
        world: Where the bundle is.
        digest: The bundle to copy.
        change: Told the folder; the manifest is not in it.
        manifest: Fields that the manifest is given beside those that the files need.
    """
    from recmodels.manifest import verify

    original = verify(world.root, digest)
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=world.root))
    shutil.copytree(world.root / digest, folder, dirs_exist_ok=True)
    (folder / _MANIFEST).unlink()
    change(folder)
    made = seal(folder, original.model_copy(update=dict(manifest or {})))
    publish(folder, world.root / made)
    return made


def with_listing(world: World, digest: str, listed: Mapping[str, str], change: Callable[[Path], None]) -> str:
    """Copy a bundle, and list files in its manifest by hand, with digests that nobody computed."""
    folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=world.root))
    shutil.copytree(world.root / digest, folder, dirs_exist_ok=True)
    fields = json.loads((folder / _MANIFEST).read_text())
    fields["files"] |= listed
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    (folder / _MANIFEST).write_bytes(text)
    change(folder)
    made = hashlib.sha256(text).hexdigest()
    folder.chmod(0o755)
    folder.rename(world.root / made)
    return made


def table_of(world: World) -> sparse.csr_array:
    """Return the champion's table of item to item, (V, V)."""
    scorer = world.good.scorer
    assert isinstance(scorer, ItemItemScorer), f"the champion's scorer is {scorer.kind}, not a table of items"
    return scorer.weights


def history_length_of(world: World) -> int:
    """Return how many events of a history the champion reads."""
    scorer = world.good.scorer
    assert isinstance(scorer, ItemItemScorer), f"the champion's scorer is {scorer.kind}, not a table of items"
    return scorer.history_length


def by_age(world: World) -> NDArray[np.int64]:
    """Return the rows of the catalogue from the item that was consumed first to the one that was consumed last."""
    train = world.split.train
    first = np.full(world.split.vocabulary.size, np.iinfo(np.int64).max)
    np.minimum.at(first, train.items, train.timestamps)
    return np.argsort(first[FIRST_ITEM:], kind="stable")
