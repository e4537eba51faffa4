"""One epoch of a model with a gradient."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recmodels.data.batches import length_buckets
from recmodels.data.histories import Histories
from recmodels.errors import TrainingError
from recmodels.models._gradient import GradientModel
from recmodels.trainer_config import TrainerConfig
from recmodels.training.averaging import averaged
from recmodels.training.determinism import seed_epoch
from recmodels.training.optimizer import Stepper
from recmodels.training.precision import is_bfloat16
from recmodels.training.rows import Rows
from recmodels.training.windows import has_event_since, has_target, training_windows
from recmodels.training.workers import ALONE, Workers

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Replay:
    """Which rows an epoch of a warm start holds: all with a new event, and a share of the others, drawn each epoch.

    Attributes:
        since: Events at or after this time (microseconds) are new.
        share: Of the other rows.
    """

    since: int
    share: float


class Loop:
    """Runs epochs over the training histories.

    Args:
        model: On its device.
        train: One row a user.
        config: Batches, learning rate, clipping.
        seed: Each epoch's order, negatives and dropout come from it and the epoch's number alone.
        on_step: Told after each step how many of how many are done, of the most that training can take.
        replay: Leave out some rows that hold no new event; None for all rows.
        targets: (E,) which events are to be predicted; None for all.
        workers: Processes that train together, each with the same arguments.

    Attributes:
        model: What is trained.
        judged: What is judged and kept: the model, or the running mean of its weights.
        steps: Of all epochs.

    Raises:
        TrainingError: The histories hold no event, or no new one.
    """

    def __init__(
        self,
        model: GradientModel,
        train: Histories,
        *,
        config: TrainerConfig,
        seed: int,
        on_step: OnStep | None,
        replay: Replay | None = None,
        targets: NDArray[np.bool_] | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.model = model
        self._targets = targets
        self._rows = _windows(train, targets, max_length=model.max_length)
        if not len(self._rows):
            raise TrainingError("the training histories hold no event. Choose a later cutoff or another label.")
        self._lengths = self._rows.lengths
        self._replay = replay
        is_new = np.ones(len(self._rows), np.bool_) if replay is None else has_event_since(self._rows, replay.since)
        if not is_new.any():
            raise TrainingError(
                "the training histories hold no event since the champion's. Wait for new data, or train from scratch."
            )
        self._new, self._older = np.flatnonzero(is_new), np.flatnonzero(~is_new)
        self._device = next(model.parameters()).device
        self.steps = config.epochs * -(-self._num_rows // config.batch_size)
        self._is_bfloat16 = is_bfloat16(config.precision, self._device)
        self._workers = workers
        self._average = averaged(model, config.averaging) if config.averaging else None
        self.judged = model if self._average is None else cast("GradientModel", self._average.module)
        self._stepper = Stepper(model, config, steps=self.steps, names_few_items=model.names_few_items)
        self._config = config
        self._seed = seed
        self._on_step = on_step

    @property
    def state(self) -> tuple[nn.Module, Mapping[str, torch.optim.Optimizer]]:
        """What a checkpoint keeps: the model, or both it and its running mean, and the optimizers."""
        whole = self.model if self._average is None else nn.ModuleDict({"own": self.model, "mean": self._average})
        return whole, self._stepper.optimizers

    def try_seconds(self, clock: Callable[[], float]) -> float:
        """Return how long all steps would take if each took as long a position as one that is made and forgotten.

        Args:
            clock: Seconds that only grow.
        """
        batches = self._batches(seed_epoch(self._seed, 0))
        positions = [len(rows) * int(self._lengths[rows].max()) for rows in batches]
        middle = int(np.argsort(positions)[len(batches) // 2])
        self.model.train()
        for _ in range(2):  # the first one makes what torch then keeps
            started = clock()
            self._loss(self._workers.share(batches[middle])).backward()  # type: ignore[no-untyped-call]
            seconds = clock() - started
        self._stepper.zero_grad()
        self.model.eval()
        return self._config.epochs * sum(positions) * seconds / positions[middle]

    @property
    def _num_rows(self) -> int:
        """Rows of an epoch."""
        return len(self._rows) if self._replay is None else len(self._new) + self._num_replayed(self._replay)

    def epoch(self, number: int) -> float:
        """Take one step a batch and return the mean loss.

        Args:
            number: Of the epoch, from 1.

        Raises:
            TrainingError: A step's loss is not a finite number.
        """
        rng = seed_epoch(self._seed, number)
        batches = self._batches(rng)
        self.model.train()
        total = 0.0
        for done, rows in enumerate(batches, start=1):
            step = (number - 1) * len(batches) + done
            total += self._step(rows, step=step, epoch=number)
            if self._on_step:
                self._on_step(step, self._config.epochs * len(batches))
        self.model.eval()
        return total / len(batches)

    def _batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        size = self._config.batch_size
        if self._replay is None:
            return length_buckets(self._lengths, batch_size=size, rng=rng)
        count = self._num_replayed(self._replay)
        rows = np.concatenate([self._new, rng.choice(self._older, count, replace=False)])
        return [rows[batch] for batch in length_buckets(self._lengths[rows], batch_size=size, rng=rng)]

    def _num_replayed(self, replay: Replay) -> int:
        return round(replay.share * len(self._older))

    def _step(self, rows: NDArray[np.int64], *, step: int, epoch: int) -> float:
        mine = self._workers.share(rows)
        loss = self._loss(mine)
        self._stepper.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves it unannotated
        value = self._workers.add_gradients(self._stepper.parameters, loss, weight=self._weight(mine, rows))
        self._check(value, "loss", step=step, epoch=epoch)
        self._check(self._stepper.step(step), "gradient", step=step, epoch=epoch)
        if self._average is not None:
            self._average.update_parameters(self.model)
        return value

    def _loss(self, rows: NDArray[np.int64]) -> Tensor:
        # one column for what comes before the first event, unless the longest row starts in the middle of a history
        width = min(int(self._lengths[rows].max()), self.model.max_length) + 1
        uses_time = self.model.uses_time
        chosen = self._rows.take(rows)
        batch = Rows.of(chosen, length=width, uses_time=uses_time, device=self._device, targets=self._targets)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._is_bfloat16):
            return self.model.loss(batch)

    def _weight(self, mine: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        """Return the share of a batch's targets that are this worker's; together the workers' make 1."""
        if len(rows) < self._workers.count:
            return 1 / self._workers.count
        targets = np.minimum(self._lengths, self.model.max_length)
        return float(targets[mine].sum() / targets[rows].sum())

    def _check(self, value: float, what: str, *, step: int, epoch: int) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value} at step {step} (epoch {epoch}), with a learning rate of "
                f"{self._config.learning_rate:g}. Lower trainer.learning_rate or trainer.gradient_norm."
            )


def _windows(train: Histories, targets: NDArray[np.bool_] | None, *, max_length: int) -> Histories:
    """Return the rows that hold something to predict."""
    rows = training_windows(train, max_length=max_length)
    return rows if targets is None else rows.take(np.flatnonzero(has_target(rows, targets, max_length=max_length)))
