"""One epoch of a model with a gradient."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recmodels.data.batches import length_buckets
from recmodels.data.histories import Histories
from recmodels.errors import TrainingError
from recmodels.models._gradient import GradientModel
from recmodels.recipe import TrainerConfig
from recmodels.training.determinism import seed_epoch
from recmodels.training.rows import Rows
from recmodels.training.windows import has_event_since, training_windows

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
    ) -> None:
        self.model = model
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._rows = training_windows(train, max_length=model.max_length)
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
        self._config = config
        self._seed = seed
        self._on_step = on_step

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
        count = round(self._replay.share * len(self._older))
        rows = np.concatenate([self._new, rng.choice(self._older, count, replace=False)])
        return [rows[batch] for batch in length_buckets(self._lengths[rows], batch_size=size, rng=rng)]

    def _step(self, rows: NDArray[np.int64], *, step: int, epoch: int) -> float:
        # one column for what comes before the first event, unless the longest row starts in the middle of a history
        width = min(int(self._lengths[rows].max()), self.model.max_length) + 1
        uses_time = self.model.uses_time
        batch = Rows.of(self._rows.take(rows), length=width, uses_time=uses_time, device=self._device)
        self.optimizer.zero_grad()
        loss = self.model.loss(batch)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} at step {step} (epoch {epoch}), with a learning rate of "
                f"{self._config.learning_rate:g}. Lower trainer.learning_rate or trainer.gradient_norm."
            )
        loss.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves it unannotated
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.gradient_norm)
        self.optimizer.step()
        return value
