"""A small catalogue of short films with names, as people would see it, and two models of what is watched next."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from recmodels.bundle import write_bundle
from recmodels.data.schema import ITEMS
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.recipe import ModelChoice, Recipe
from recmodels.scorers import ItemItemScorer, Scorer
from tests.infra.gateway_home import NOW

_SERIES = {
    ("Mara Lindqvist", "cooking"): (
        "Rye bread in one bowl",
        "Three soups for a cold week",
        "Sharpening a knife, slowly",
        "What to do with old lemons",
        "A market in Porto at dawn",
        "Dumplings for twelve",
    ),
    ("Tidewater Films", "travel"): (
        "The last ferry to Skellig",
        "Night train over the Alps",
        "A lighthouse keeper's year",
        "Harbour lights",
        "Walking the salt road",
        "Rain in Valparaíso",
    ),
    ("Pixel & Oak", "craft"): (
        "A chair from one plank",
        "Dovetails without fear",
        "Restoring a 1952 radio",
        "Bookbinding in an afternoon",
        "The sound of a good plane",
        "Turning a bowl from storm wood",
    ),
    ("Dr. Amara Osei", "science"): (
        "Why ice is slippery",
        "How owls fly in silence",
        "A map of every earthquake",
        "What trees say underground",
        "The colour that is not there",
        "Counting the stars by hand",
    ),
    ("Longshot Club", "sport"): (
        "First century ride",
        "Bouldering for the afraid",
        "The art of falling well",
        "A marathon in the snow",
        "Open water, open mind",
        "Learning to juggle at sixty",
    ),
}
ITEM_IDS = tuple(f"film-{number:02d}" for number in range(sum(len(titles) for titles in _SERIES.values())))
_NEAR = 12
"""Films that a film leads to, the next one first."""


def items() -> pa.Table:
    """Return the films; each series leads on to the next."""
    named = [(title, *maker) for maker, titles in _SERIES.items() for title in titles]
    rows = [
        {
            "item_id": item_id,
            "creator_id": creator,
            "surface": "video",
            "category": category,
            "text": title,
            "safety": "ok",
        }
        for item_id, (title, creator, category) in zip(ITEM_IDS, named, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def watched_next(*, first: int = 1, noise: float = 0.0) -> ItemItemScorer:
    """Return the model that knows which films follow on a film, from the `first` on; `noise` makes it another model."""
    size = len(ITEM_IDS) + FIRST_ITEM
    rows = np.repeat(np.arange(FIRST_ITEM, size), _NEAR)
    steps = np.tile(np.arange(first, first + _NEAR), len(ITEM_IDS))
    columns = FIRST_ITEM + (rows - FIRST_ITEM + steps) % len(ITEM_IDS)
    weights = (0.9**steps * (1.0 + noise * np.sin(rows + 3.0 * columns))).astype(np.float32)
    return ItemItemScorer(sparse.csr_array((weights, (rows, columns)), shape=(size, size)))


def write(root: Path, scorer: Scorer, *, recipe: str, ndcg: float) -> str:
    """Write a bundle over the films and return its digest."""
    counts = np.concatenate([np.zeros(FIRST_ITEM), np.arange(len(ITEM_IDS), 0, -1) * 37]).astype(np.int64)
    return write_bundle(
        root,
        scorer=scorer,
        vocabulary=Vocabulary(np.array(ITEM_IDS)),
        items=items(),
        item_counts=counts,
        recipe=Recipe(name=recipe, model=ModelChoice(name="popularity")),
        snapshot="a-snapshot",
        trained_until=NOW,
        metrics={"ndcg_at_10": ndcg},
    )
