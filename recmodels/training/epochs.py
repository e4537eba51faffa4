"""Epoch after epoch until no better one comes, with checkpoints on the way."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from recmodels.trainer_config import TrainerConfig
from recmodels.training.checkpoints import (
    Checkpoint,
    EpochMetrics,
    Progress,
    load_checkpoint,
    pack,
    save_checkpoint,
    unpack,
)
from recmodels.training.loop import Loop
from recmodels.training.validation import Validation
from recmodels.training.workers import Workers

logger = logging.getLogger(__name__)

OnEpoch = Callable[[EpochMetrics], None]


def run_epochs(
    loop: Loop, validation: Validation, config: TrainerConfig, keeper: "Keeper", on_epoch: OnEpoch | None
) -> Progress:
    """Train from the last checkpoint on, load the best epoch's weights, and return how it went."""
    progress, best = keeper.resume(loop)
    while not progress.is_finished:
        started = keeper.clock()
        number = len(progress.epochs) + 1
        loss = loop.epoch(number)
        measured = validation.measure(loop.judged, workers=keeper.workers)
        seconds = keeper.clock() - started
        epoch = EpochMetrics(number, loss, measured.ndcg_at_10, measured.recall_at_10, seconds)
        progress = progress.after(epoch, most=config.epochs, patience=config.patience)
        if progress.best_epoch == number:
            best = _kept(loop.judged.state_dict(), best)
        keeper.keep(loop, progress, best)
        if on_epoch:
            on_epoch(epoch)
    loop.model.load_state_dict(best)
    return progress


def _kept(state: Mapping[str, Tensor], best: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of the weights, in the memory of the last copy: a large item table stands there often enough."""
    if not best:
        return {name: value.detach().clone() for name, value in state.items()}
    for name, value in state.items():
        best[name].copy_(value)
    return best


class Keeper:
    """Keeps checkpoints in a folder, at most one in so many seconds and always the last."""

    def __init__(
        self, folder: Path | None, run: str, seconds: float, clock: Callable[[], float], workers: Workers
    ) -> None:
        self.clock = clock
        self.workers = workers
        self._folder = folder
        self._run = run
        self._seconds = seconds
        self._kept_at = clock()

    def resume(self, loop: Loop) -> tuple[Progress, dict[str, Tensor]]:
        """Return where an interrupted training stands and its best weights, after loading the last ones."""
        found = load_checkpoint(self._folder, run=self._run) if self._folder else None
        if found is None:
            return Progress(self._run, (), is_finished=False), {}
        logger.info("training goes on after epoch %d", len(found.progress.epochs))
        return found.progress, unpack(found.tensors, *loop.state)

    def keep(self, loop: Loop, progress: Progress, best: dict[str, Tensor]) -> None:
        """Write a checkpoint where one is due."""
        is_due = progress.is_finished or self.clock() - self._kept_at >= self._seconds
        if self._folder and is_due and self.workers.rank == 0:
            model, optimizers = loop.state
            save_checkpoint(self._folder, Checkpoint(progress, pack(model, best, optimizers)))
            self._kept_at = self.clock()
        if progress.is_finished:
            self.workers.wait()
