"""Whether the parts of a bundle fit together and are what a model of ours writes."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.arrays import read_arrays
from recmodels.data.schema import ITEM_ID, SAFETY, SAFETY_LEVELS, SURFACE
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.errors import BundleError
from recmodels.manifest import Manifest
from recmodels.memory import forecast_bytes
from recmodels.ranking.choice import RankingRelease
from recmodels.ranking.model import RankingModel
from recmodels.scorers import Scorer

ITEMS_FILE: Final = "items.parquet"
"""Of a bundle: its items in the order of the vocabulary."""


def check_ranking(release: RankingRelease | None, model: RankingModel | None) -> None:
    """Refuse a second stage that the release does not know of, or that lacks what its utility weighs.

    Raises:
        BundleError: One of the two is there without the other.
        ValueError: The utility gives a weight to what the ranker does not predict.
    """
    if (release is None) != (model is None):
        raise BundleError(
            "a bundle has a second stage exactly where its recipe asks for one. Train the ranker with the model."
        )
    if release is not None and model is not None:
        release.utility.check(model.scorer.spec.tasks, has_watch=model.scorer.has_watch)


def check_size(folder: Path, manifest: Manifest, *, max_bytes: int) -> None:
    """Refuse a verified bundle that is forecast to take more than so many bytes of memory.

    Raises:
        BundleError: It does.
    """
    forecast = forecast_bytes(folder, num_items=manifest.num_items)
    if forecast > max_bytes:
        raise BundleError(
            f"bundle {folder.name[:12]} would take about {forecast} bytes of memory; at most {max_bytes} are given to "
            "one bundle. Raise max_bytes, or train on fewer items."
        )


def read_counts(path: Path) -> NDArray[np.int64]:
    """Return each item's number of training interactions, (V,).

    Raises:
        ValueError: The file holds something else, or a count below 0.
    """
    counts: NDArray[np.int64] = read_arrays(path, {"item_counts": (np.int64, 1)})["item_counts"]
    if counts.min(initial=0) < 0:
        raise ValueError(f"{path.name}: 'item_counts' holds {counts.min()}, expected no count below 0")
    return counts


def check_items(items: pa.Table) -> None:
    """Refuse a table of items without what serving asks of each.

    Raises:
        ValueError: A column is missing or of another type, or a safety label is none of ours.
    """
    for name in (ITEM_ID, SAFETY, SURFACE):
        if name not in items.column_names or items.schema.field(name).type != pa.string():
            raise ValueError(f"{ITEMS_FILE}: it has the columns {items.schema.names}, expected {name!r} as text")
    labels = pc.unique(items[SAFETY]).to_pylist()
    if strange := [label for label in labels if label not in SAFETY_LEVELS]:
        raise ValueError(f"{ITEMS_FILE}: {SAFETY!r} holds {strange[:3]}, expected {', '.join(SAFETY_LEVELS)}")


def check_alignment(
    digest: str, *, vocabulary: Vocabulary, items: pa.Table, item_counts: NDArray[np.int64], scorer: Scorer
) -> None:
    """Refuse parts that are made for other numbers of items, or for other items.

    Args:
        digest: Of the bundle, for words.
        vocabulary: The catalogue.
        items: Schema `ITEMS`.
        item_counts: (V,).
        scorer: Of V items.

    Raises:
        BundleError: They do not fit together.
    """
    sizes = (vocabulary.size, len(items) + FIRST_ITEM, len(item_counts), scorer.vocabulary_size)
    if len(set(sizes)) > 1:
        raise BundleError(
            f"bundle {digest[:12]} does not fit together: vocabulary, items, counts and scorer are made for "
            f"{', '.join(str(size) for size in sizes)} entries. Build all four from one split."
        )
    if items[ITEM_ID].to_pylist() != vocabulary.ids.tolist():
        raise BundleError(f"bundle {digest[:12]}: items and vocabulary differ in order. Align the items with it.")
