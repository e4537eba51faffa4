"""Training of rankers: what stops it, what is kept, which labels count, and that a planted world is learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recmodels.errors import TrainingError
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.predictions import Predictions, log_loss
from recmodels.ranking.training import predict, task_losses, train_ranker
from recmodels.trainer_config import TrainerConfig
from tests.recmodels.ranking.exposures import exposures

SMALL = NetworkConfig(embedding_dim=8, tower_dim=8, multi_task="shared", backbone_config={"deep_dims": [16]})
NAN = float("nan")


@pytest.fixture(scope="module")
def parts():
    return exposures(4000, seed=1), exposures(1000, seed=2)


def trainer(**settings):
    return TrainerConfig(**{"epochs": 3, "batch_size": 128, "learning_rate": 5e-3, **settings})


def test_losses_are_means_over_known_labels():
    logits = torch.tensor([[0.0, 2.0], [0.0, -1.0], [4.0, 0.0]])
    labels = torch.tensor([[1.0, NAN], [0.0, NAN], [NAN, NAN]])
    torch.testing.assert_close(task_losses(logits, labels), torch.tensor([np.log(2), 0.0], dtype=torch.float32))
    sure = 1 / (1 + np.exp(-logits.numpy()))
    assert log_loss(labels.numpy(), sure) == pytest.approx(np.log(2))
    assert np.isnan(log_loss(np.full((2, 2), np.nan), sure[:2]))


def test_a_planted_world_is_learned_better_than_the_rates(parts):
    train, validation = parts
    trained = train_ranker(SMALL, train, validation, trainer=trainer(epochs=4, learning_rate=0.02), seed=1)
    rates = np.broadcast_to(np.nanmean(train.labels, axis=0), validation.labels.shape)
    assert log_loss(validation.labels, trained.validation.probabilities) < 0.93 * log_loss(validation.labels, rates)
    assert trained.curve[0].number == 1
    assert trained.curve[-1].loss < trained.curve[0].loss
    again = predict(trained.network, validation)
    np.testing.assert_array_equal(again.logits, trained.validation.logits)


def test_the_best_epoch_is_kept_and_training_stops_when_the_metric_falls(parts):
    train, validation = parts
    seen: list[Predictions] = []

    def metric(examples, predictions):
        assert examples is validation
        seen.append(predictions)
        return [0.1, 0.5, 0.4, 0.3, 0.9][len(seen) - 1]

    few = train.take(np.arange(300))
    trained = train_ranker(SMALL, few, validation, trainer=trainer(epochs=5, patience=2), seed=1, metric=metric)
    assert [epoch.metric for epoch in trained.curve] == [0.1, 0.5, 0.4, 0.3]
    assert trained.best == 2
    np.testing.assert_array_equal(trained.validation.logits, seen[1].logits)


def test_a_running_mean_is_judged_when_one_is_asked_for(parts):
    train, validation = parts
    few = train.take(np.arange(500))
    plain, mean = (
        train_ranker(SMALL, few, validation, trainer=trainer(epochs=1, averaging=share), seed=1) for share in (0.0, 0.9)
    )
    assert plain.curve[0].loss == mean.curve[0].loss
    assert (plain.validation.logits != mean.validation.logits).any()


def test_a_loss_that_is_not_finite_stops_training_naming_the_step(parts):
    train, validation = parts
    wild = trainer(learning_rate=1e30)
    with pytest.raises(
        TrainingError, match=r"the (loss|gradient) is (nan|inf) at step 2 \(epoch 1\), with a learning rate"
    ):
        train_ranker(SMALL, train, validation, trainer=wild, seed=1)


def test_no_row_is_refused(parts):
    train, validation = parts
    nothing = train.take(np.arange(0))
    with pytest.raises(TrainingError, match="there is no training row"):
        train_ranker(SMALL, nothing, validation, trainer=trainer(), seed=1)
    with pytest.raises(TrainingError, match="there is no validation row"):
        train_ranker(SMALL, train, nothing, trainer=trainer(), seed=1)


def test_watch_time_that_nobody_knows_is_refused_unless_it_is_not_predicted(parts):
    train, validation = parts
    blind = replace(train.take(np.arange(300)), watch_seconds=np.full(300, np.nan, np.float32))
    with pytest.raises(TrainingError, match=r"watch_seconds is known of no training row\. Set watch_time to null"):
        train_ranker(SMALL, blind, validation, trainer=trainer(), seed=1)
    without = SMALL.model_copy(update={"watch_time": None})
    trained = train_ranker(without, blind, validation, trainer=trainer(epochs=1), seed=1)
    assert np.isnan(trained.validation.watch).all()


def test_a_metric_that_is_no_number_stops_training(parts):
    train, validation = parts
    few = train.take(np.arange(300))
    with pytest.raises(TrainingError, match="the validation metric is nan after epoch 1"):
        train_ranker(SMALL, few, validation, trainer=trainer(), seed=1, metric=lambda *_: NAN)


def test_the_user_is_no_feature(parts):
    train, validation = parts
    few = train.take(np.arange(300))
    trained = train_ranker(SMALL, few, validation, trainer=trainer(epochs=1), seed=1)
    other = replace(validation, users=validation.users[::-1].copy(), timestamps=validation.timestamps + 10**12)
    np.testing.assert_array_equal(predict(trained.network, other).logits, trained.validation.logits)
