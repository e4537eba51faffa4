from dataclasses import replace

import numpy as np
import pytest
import torch

from recmodels.data.histories import Histories
from recmodels.errors import TrainingError
from recmodels.models import MODELS
from recmodels.trainer_config import TrainerConfig
from recmodels.training.loop import Loop
from recmodels.training.trainer import refit, train
from tests.recmodels.worlds import a_recipe, circles_split

MINUTE = 60_000_000
DAY = 1440 * MINUTE
NOW = 1_700_000_000_000_000
TINY = {"embedding_dim": 16, "num_layers": 2, "max_length": 8, "dropout": 0.0, "loss": "cross_entropy"}


def a_model(*, time_bias, vocabulary_size=22):
    torch.manual_seed(0)
    return MODELS.build("hstu", MODELS.config("hstu", TINY | {"time_bias": time_bias}), vocabulary_size)


def hopping(seed):
    """200 users walk around 20 items: one step after a wait of minutes, seven after a wait of days, half of each."""
    rng = np.random.default_rng(seed)
    is_long = rng.random((200, 7)) < 0.5
    long, short = rng.integers(DAY, 3 * DAY, is_long.shape), rng.integers(MINUTE, 9 * MINUTE, is_long.shape)
    waits = np.where(is_long, long, short)
    steps = np.cumsum(np.where(is_long, 7, 1), axis=1)
    steps = np.concatenate([np.zeros((200, 1), np.int64), steps[:, :-1]], axis=1)  # the wait before an event moves on
    return (rng.integers(0, 20, 200)[:, None] + steps) % 20 + 2, NOW + np.cumsum(waits, axis=1)


@pytest.mark.parametrize(("time_bias", "least", "most"), [(True, 0.9, 1.0), (False, 0.3, 0.65)])
def test_what_depends_on_the_wait_before_is_learned_when_times_are_used_alone(time_bias, least, most):
    items, times = hopping(0)
    model = a_model(time_bias=time_bias)
    rows = Histories.from_lists(items.tolist(), times.tolist())
    loop = Loop(model, rows, config=TrainerConfig(batch_size=50, learning_rate=0.01), seed=0, on_step=None)
    for epoch in range(1, 41):
        loop.epoch(epoch)
    items, times = hopping(1)
    asked = Histories.from_lists(items[:, :-1].tolist(), times[:, :-1].tolist())
    share = (model.score(asked).argmax(axis=1) == items[:, -1]).mean()
    assert least < share <= most


@pytest.mark.slow  # the contract of all models holds as much of a trained one
def test_what_is_served_equals_torch_and_ignores_a_common_shift_when_times_are_used():
    items, times = hopping(2)
    model = a_model(time_bias=True).eval()
    scorer = model.export()
    asked, later = (Histories.from_lists(items.tolist(), (times + moved).tolist()) for moved in (0, 700 * DAY + 1))
    scores = scorer.score(asked)
    np.testing.assert_allclose(scores, model.score(asked), atol=1e-4)
    np.testing.assert_array_equal(scorer.score(later), scores)
    slower = Histories.from_lists(items.tolist(), (NOW + 30 * (times - NOW)).tolist())
    assert np.abs(scorer.score(slower)[:, 2:] - scores[:, 2:]).max() > 1e-3


@pytest.mark.parametrize("begin", [train, refit])
def test_data_with_an_order_only_are_refused_when_times_are_used(begin):
    split = replace(circles_split(users=40), is_order_only=True)
    recipe = a_recipe("hstu", TINY, epochs=1)
    own = {"epochs": 1} if begin is refit else {"checkpoint_folder": None}
    with pytest.raises(TrainingError, match=r"an order without times. Set model\.config\.time_bias=false"):
        begin(recipe, split, seed=0, **own)


@pytest.mark.slow
def test_data_with_an_order_only_are_trained_on_when_times_are_not_used():
    split = replace(circles_split(users=120), is_order_only=True)
    recipe = a_recipe("hstu", TINY | {"time_bias": False}, epochs=10, batch_size=32, learning_rate=0.01)
    trained = train(recipe, split, checkpoint_folder=None, seed=0)
    assert trained.metrics["recall_at_10"] > 0.5
    assert not trained.scorer.compiled.uses_time
