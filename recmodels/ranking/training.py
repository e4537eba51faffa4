"""Trains a ranker's network: masked losses of all tasks, stopped early on validation rows, the best epoch kept."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.errors import TrainingError
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.examples import Examples
from recmodels.ranking.inputs import inputs_of
from recmodels.ranking.network import RankingNetwork
from recmodels.ranking.predictions import Predictions, log_loss
from recmodels.trainer_config import TrainerConfig
from recmodels.training.averaging import averaged
from recmodels.training.determinism import reproducible, seed_epoch
from recmodels.training.optimizer import Stepper
from recmodels.training.precision import is_bfloat16

Metric = Callable[[Examples, Predictions], float]
"""How good predictions are; more is better."""

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to.

    Attributes:
        number: From 1.
        loss: Mean over the steps.
        metric: Of the validation rows, afterwards.
    """

    number: int
    loss: float
    metric: float


@dataclass(frozen=True, eq=False)
class TrainedRanker:
    """The network of the best epoch, and how training went.

    Attributes:
        network: On its device, in evaluation mode.
        curve: One entry an epoch.
        best: Number of the epoch that was kept.
        validation: What the network predicts of the validation rows, before any calibration.
    """

    network: RankingNetwork
    curve: tuple[Epoch, ...]
    best: int
    validation: Predictions


def train_ranker(
    config: NetworkConfig,
    train: Examples,
    validation: Examples,
    *,
    trainer: TrainerConfig,
    seed: int,
    metric: Metric | None = None,
    device: str = "cpu",
) -> TrainedRanker:
    """Train until the metric of the validation rows has not risen for `trainer.patience` epochs.

    Args:
        config: Of the network.
        train: Rows to learn from.
        validation: Later rows; they decide when to stop and which epoch is kept.
        trainer: Epochs, batches (rows a step), learning rate, clipping, averaging; a ranker has no checkpoints yet.
        seed: The same one gives the same network, bit for bit, on one machine.
        metric: More is better; None for the log loss of all tasks, negated.
        device: Such as ``"cpu"``.

    Raises:
        TrainingError: There are no rows, or a step's loss or gradient is not a finite number.
    """
    for name, rows in (("training", train), ("validation", validation)):
        if not len(rows):
            raise TrainingError(f"there is no {name} row. Choose other cutoffs, or a longer window.")
    judge = metric or (lambda examples, predictions: -log_loss(examples.labels, predictions.probabilities))
    with reproducible(threads=1, device=device):
        seed_epoch(seed, 0)
        network = RankingNetwork(train.spec, config).to(device)
        network.begin(train)
        loop = _Loop(network, train, trainer=trainer, seed=seed)
        best, kept, curve = 0, network, []
        for number in range(1, trainer.epochs + 1):
            loss = loop.epoch(number)
            value = judge(validation, predict(loop.judged, validation))
            if math.isnan(value):
                raise TrainingError(f"the validation metric is {value} after epoch {number}. Check validation labels.")
            curve.append(Epoch(number, loss, value))
            if not best or value > curve[best - 1].metric:
                best, kept = number, copy.deepcopy(loop.judged)
            elif number - best >= trainer.patience:
                break
        return TrainedRanker(kept.eval(), tuple(curve), best, predict(kept, validation))


def predict(network: RankingNetwork, examples: Examples) -> Predictions:
    """Return what a network predicts, by torch; what is served is its export, this is how training watches itself."""
    was_training = network.training
    network.eval()
    logits, seconds = [], []
    with torch.no_grad():
        for start in range(0, len(examples), _ROWS_AT_ONCE):
            part = examples.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(examples))))
            vectors = network.embeddings(inputs_of(part))
            raw = network.judge(vectors)
            logits.append(raw.logits.float().cpu().numpy())
            seconds.append(network.seconds(raw, vectors.duration).float().cpu().numpy())
    network.train(was_training)
    return Predictions(np.concatenate(logits), np.concatenate(seconds))


def task_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each task's mean cross-entropy over the rows whose label is known, (T,); 0 where none is.

    Args:
        logits: (N, T).
        labels: (N, T), NaN where not known.
    """
    is_known = ~labels.isnan()
    targets = torch.where(is_known, labels, 0.0)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * is_known).sum(dim=0) / is_known.sum(dim=0).clamp(min=1)


class _Loop:
    def __init__(self, network: RankingNetwork, train: Examples, *, trainer: TrainerConfig, seed: int) -> None:
        self._network, self._train, self._config, self._seed = network, train, trainer, seed
        self._device = network.embeddings.offsets.device
        self._is_bfloat16 = trainer.precision == "bfloat16" and is_bfloat16(trainer.precision, self._device)
        steps = trainer.epochs * -(-len(train) // trainer.batch_size)
        self._average = averaged(network, trainer.averaging) if trainer.averaging else None
        self.judged = network if self._average is None else cast("RankingNetwork", self._average.module)
        self._stepper = Stepper(network, trainer, steps=steps, names_few_items=True)

    def epoch(self, number: int) -> float:
        """Take one step a batch and return the mean loss."""
        rng = seed_epoch(self._seed, number)
        order, size = rng.permutation(len(self._train)), self._config.batch_size
        # not by length of history, as sequence models are: batches of alike people make poor steps
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        self._network.train()
        total = 0.0
        for done, rows in enumerate(batches, start=1):
            total += self._step(rows, step=(number - 1) * len(batches) + done, epoch=number)
        self._network.eval()
        return total / len(batches)

    def _step(self, rows: NDArray[np.int64], *, step: int, epoch: int) -> float:
        loss = self._loss(self._train.take(rows))
        self._stepper.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves it unannotated
        value = loss.item()
        self._check(value, "loss", step=step, epoch=epoch)
        self._check(self._stepper.step(step), "gradient", step=step, epoch=epoch)
        if self._average is not None:
            self._average.update_parameters(self._network)
        return value

    def _loss(self, batch: Examples) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._is_bfloat16):
            raw = self._network(inputs_of(batch))
        loss = task_losses(raw.logits.float(), torch.from_numpy(batch.labels).to(self._device)).sum()
        head = self._network.watch_head
        is_known = np.isfinite(batch.watch_seconds)
        if head is None or not is_known.any():
            return loss
        watch, duration = (
            torch.from_numpy(column[is_known]).to(self._device)
            for column in (batch.watch_seconds.clip(min=0), batch.duration_seconds)
        )
        seen = head.loss(raw.watch.float()[torch.from_numpy(is_known).to(self._device)], watch, duration)
        return loss + self._network.config.watch_weight * seen

    def _check(self, value: float, what: str, *, step: int, epoch: int) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value} at step {step} (epoch {epoch}), with a learning rate of "
                f"{self._config.learning_rate:g}. Lower trainer.learning_rate or trainer.gradient_norm."
            )
