"""A split with a champion on it: what bad models are made from, and what they are held against."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recmodels.bundle import Bundle, load_bundle, write_bundle
from recmodels.data.schema import ITEM_ID, SAFETY
from recmodels.data.sources.movielens import read
from recmodels.data.splits import Split, split_interactions
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.record import Evaluation
from recmodels.presets import item_knn, popularity
from recmodels.ranker import Ranker
from recmodels.recipe import Recipe
from recmodels.training.trainer import train

SEED = 20261122
NUM_BLOCKED = 5


@dataclass(frozen=True, eq=False)
class World:
    """Good models on real or made-up people.

    Attributes:
        root: Folder of the bundles.
        split: What the models were trained and are judged on.
        recipe: Of the champion, and of everything that is made from it.
        champion: Digest of the good bundle.
        floor: Digest of recent popularity.
    """

    root: Path
    split: Split
    recipe: Recipe
    champion: str
    floor: str

    @cached_property
    def good(self) -> Bundle:
        """The champion in memory."""
        return load_bundle(self.root, self.champion)

    @cached_property
    def blocked(self) -> tuple[str, ...]:
        """Items that nobody may be shown."""
        items = self.split.items
        return tuple(items[ITEM_ID].filter(pc.equal(items[SAFETY], "blocked")).to_pylist())

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """The champion and popularity on the test queries."""
        return {digest: self.evaluate(load_bundle(self.root, digest)) for digest in (self.champion, self.floor)}

    def evaluate(self, bundle: Bundle) -> Evaluation:
        """Measure a bundle as a release does."""
        return evaluate(
            Ranker(bundle),
            self.split.test,
            config=self.recipe.evaluation,
            seed=self.recipe.seed,
            vocabulary=self.split.vocabulary,
            blocked=self.blocked,
        )


def build_world(root: Path, interactions: pa.Table, items: pa.Table, *, recipe: Recipe, floor: Recipe) -> World:
    """Block the items that people like best, so that a model without labels has something to show; train on the rest.

    Args:
        root: Folder of the bundles.
        interactions: Rows in the schema `INTERACTIONS`.
        items: Rows in the schema `ITEMS`.
        recipe: Of the champion; its scorer must be a table of items.
        floor: Of popularity.
    """
    counts = pc.value_counts(interactions[ITEM_ID])
    order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:NUM_BLOCKED]
    labelled = label_blocked(items, counts.field("values").take(pa.array(order)).to_pylist())
    split = split_interactions(interactions, labelled, data=recipe.data, split=recipe.split)
    return World(root, split, recipe, champion=_train(root, split, recipe), floor=_train(root, split, floor))


def ml_100k(root: Path, wheel: Path) -> World:
    """Return item neighbours and popularity on ML-100K."""
    tables = read(wheel)
    return build_world(root, tables.interactions, tables.items, recipe=item_knn(), floor=popularity())


def label_blocked(items: pa.Table, item_ids: Collection[str]) -> pa.Table:
    """Return the items with `safety` blocked for some."""
    is_blocked = pc.is_in(items[ITEM_ID], value_set=pa.array(list(item_ids), pa.string()))
    safety = pc.if_else(is_blocked, "blocked", items[SAFETY])
    return items.set_column(items.schema.get_field_index(SAFETY), items.schema.field(SAFETY), safety)


def _train(root: Path, split: Split, recipe: Recipe) -> str:
    trained = train(recipe, split, checkpoint_folder=None, seed=recipe.seed)
    return write_bundle(
        root,
        scorer=trained.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot="zoo",
        trained_until=split.train_until,
        metrics=trained.metrics,
    )
