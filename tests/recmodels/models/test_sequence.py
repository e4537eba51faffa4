from typing import get_args

import pytest
import torch

from recmodels.data.histories import Histories
from recmodels.models import MODELS
from recmodels.models._sequence import SequenceConfig
from recmodels.trainer_config import TrainerConfig
from recmodels.training.loop import Loop
from recmodels.training.losses import SAMPLED_LOSSES

LOSSES = get_args(SequenceConfig.model_fields["loss"].annotation)


def a_model(vocabulary_size=22, **config):
    torch.manual_seed(0)
    values = {"embedding_dim": 16, "num_layers": 1, "max_length": 8, "dropout": 0.0, "negatives": 8} | config
    return MODELS.build("sasrec", MODELS.config("sasrec", values), vocabulary_size)


def test_the_losses_of_a_configuration_are_those_there_are():
    assert set(LOSSES) == {*SAMPLED_LOSSES, "cross_entropy"}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_learns_what_comes_next_when_it_is_trained_by_any_loss(loss):
    lists = [[2 + (start + step) % 20 for step in range(5)] for start in range(20)]
    model = a_model(loss=loss)
    config = TrainerConfig(batch_size=20, learning_rate=0.01)
    loop = Loop(model, Histories.from_lists(lists), config=config, seed=0, on_step=None)
    for epoch in range(1, 101):
        loop.epoch(epoch)
    found = model.score(Histories.from_lists([row[:-1] for row in lists])).argmax(axis=1)
    assert (found == [row[-1] for row in lists]).all()


def test_the_forecast_is_bounded_when_the_whole_catalogue_is_scored():
    """300,000 items beside 3,000: weights and gradients grow by 7 tables, the scores by three blocks at most."""
    small, large = (a_model(size, loss="cross_entropy", embedding_dim=2).forecast_bytes(512) for size in (3002, 300002))
    assert large - small < 4 * (7 * 2 * 297_000 + 3 * 2**24)
