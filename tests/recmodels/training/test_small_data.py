"""Data that give a model almost nothing to learn are trained on all the same, and lists are made."""

import numpy as np
import pytest

from recmodels.data.splits import split_interactions
from recmodels.models import MODELS
from recmodels.recipe import DataConfig, SplitConfig
from recmodels.training.trainer import train
from tests.recmodels.data.tables import interactions, items_of
from tests.recmodels.worlds import a_recipe

CLOSED = {"popularity", "item_knn", "ease", "ials"}
WORLDS = {
    "one item": [(f"u{user}", "i0", 100 * number + user) for user in range(12) for number in range(6)],
    "one event a user": [(f"u{user}", f"i{user % 7}", user) for user in range(60)],
    "ids beyond 32 bits": [
        (str(5_000_000_000 + user), str(9_000_000_000 + (user + number) % 9), 100 * number + user)
        for user in range(12)
        for number in range(6)
    ],
}


class Judged:
    """Ends a training once its first epoch was judged: what is exported is tested elsewhere, and takes seconds."""

    def __init__(self):
        self.epoch = None

    def __call__(self, epoch):
        self.epoch = epoch
        raise InterruptedError


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("world", WORLDS)
def test_a_model_is_trained_and_judged_when_data_are_hardly_any(name, world):
    rows = interactions(WORLDS[world])
    config = {} if name in CLOSED else {"embedding_dim": 8, "max_length": 5}
    recipe = a_recipe(name, config | ({"content": {"text": None}} if name == "two_tower" else {}))
    split = split_interactions(rows, items_of(rows), data=DataConfig(), split=SplitConfig())
    judged = Judged()
    try:
        metrics = train(recipe, split, checkpoint_folder=None, seed=0, on_epoch=judged).metrics
    except InterruptedError:
        metrics = {"loss": judged.epoch.loss, "ndcg_at_10": judged.epoch.ndcg_at_10}
    assert np.isfinite(list(metrics.values())).all()
    assert (metrics["ndcg_at_10"] == 0) == (world == "one item")  # whoever has seen the only item is recommended none
