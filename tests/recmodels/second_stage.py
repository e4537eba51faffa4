"""A synthetic world's bundle with a second stage: item-to-item retrieval, a small ranker trained for one epoch."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recmodels.bundle import write_bundle
from recmodels.data.schema import Tables
from recmodels.data.sources import synthetic
from recmodels.data.splits import Split, split_interactions
from recmodels.ranking.stage import TrainedStage, train_stage
from recmodels.recipe import Recipe, parse_recipe
from recmodels.training.trainer import Trained, train

RECIPE = parse_recipe(
    {
        "name": "ranked",
        "model": {"name": "item_knn"},
        "data": {"label": "clicked"},
        "ranking": {
            "pool": 20,
            "features": {"max_history": 8, "minimum_surface_rows": 200, "minimum_value_rows": 3, "max_query": 8},
            "network": {"embedding_dim": 4, "tower_dim": 4, "attention_dim": 4, "multi_task": "shared"},
            "trainer": {"epochs": 1, "batch_size": 256, "learning_rate": 0.01},
            "utility": {"clicked": 1.0, "liked": 2.0, "hidden": -1.0, "watch": 0.5},
        },
    }
)


@dataclass(frozen=True, eq=False)
class World:
    """What a bundle is written from."""

    tables: Tables
    split: Split
    stage: TrainedStage
    trained: Trained
    recipe: Recipe = RECIPE

    def write(self, root: Path) -> str:
        return write_bundle(
            root,
            scorer=self.trained.scorer,
            vocabulary=self.split.vocabulary,
            items=self.split.items,
            item_counts=self.split.item_counts,
            recipe=self.recipe,
            snapshot="synthetic",
            trained_until=self.split.train_until,
            metrics=self.trained.metrics | self.stage.metrics,
            ranking=self.stage.model,
        )


@cache
def world() -> World:
    tables = synthetic.read(None, users=90, items=60, creators=15, days=12, sessions_a_day=0.6)
    split = split_interactions(tables.interactions, tables.items, data=RECIPE.data, split=RECIPE.split)
    assert RECIPE.ranking is not None
    stage = train_stage(RECIPE.ranking, tables, split, seed=3)
    return World(tables, split, stage, train(RECIPE, split, checkpoint_folder=None, seed=3))
