"""Epoch after epoch until no better one comes, with checkpoints on the way."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from torch import nn

from recmodels.trainer_config import TrainerConfig
from recmodels.training.checkpoints import (
    Checkpoint,
    EpochMetrics,
    Progress,
    best_file,
    load_best,
    load_checkpoint,
    pack,
    save_best,
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
    """Train from the last checkpoint on, and return how it went; the keeper has the best epoch's weights."""
    progress = keeper.resume(loop)
    while not progress.is_finished:
        started = keeper.clock()
        number = len(progress.epochs) + 1
        loss = loop.epoch(number)
        measured = validation.measure(loop.judged, workers=keeper.workers)
        seconds = keeper.clock() - started
        epoch = EpochMetrics(number, loss, measured.ndcg_at_10, measured.recall_at_10, seconds)
        progress = progress.after(epoch, most=config.epochs, patience=config.patience)
        if progress.best_epoch == number:
            keeper.keep_best(loop.judged, number)
        keeper.keep(loop, progress)
        if on_epoch:
            on_epoch(epoch)
    return progress


class Keeper:
    """Keeps checkpoints and, in a file since a large item table stands in memory often enough, the best weights.

    Args:
        folder: Where checkpoints are kept, at most one in so many seconds and always the last; None keeps none.
        run: Identity of what is trained.
        seconds: Between two checkpoints.
        clock: Seconds that only grow.
        workers: Who train together. The first alone writes into `folder`; the others read what it holds in the
            beginning, and keep weights of their own in the system's folder for temporary files.
    """

    def __init__(
        self, folder: Path | None, run: str, seconds: float, clock: Callable[[], float], workers: Workers
    ) -> None:
        self.clock = clock
        self.workers = workers
        self._folder = folder
        self._run = run
        self._seconds = seconds
        self._kept_at = clock()
        self._own = folder if folder and workers.rank == 0 else None
        self._best: tuple[Path, int] | None = None
        self._named: tuple[Path, int] | None = None  # by the last checkpoint
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        if self._own is None:
            self._own = Path(self._exit.enter_context(TemporaryDirectory(prefix="everfeed-training-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def resume(self, loop: Loop) -> Progress:
        """Return where an interrupted training stands, after loading its last weights and moments."""
        found = load_checkpoint(self._folder, run=self._run) if self._folder else None
        if self._folder is None or found is None:
            return Progress(self._run, (), is_finished=False)
        logger.info("training goes on after epoch %d", len(found.progress.epochs))
        unpack(found.tensors, *loop.state)
        self._best = self._named = self._folder, found.progress.best_epoch
        return found.progress

    def keep_best(self, model: nn.Module, epoch: int) -> None:
        """Write the weights of an epoch that is the best so far."""
        assert self._own is not None, "a keeper is entered before it keeps"
        worse, self._best = self._best, (self._own, epoch)
        save_best(*self._best, model.state_dict())
        if worse is not None and worse != self._named:
            best_file(*worse).unlink()

    def load_best(self, model: nn.Module) -> None:
        """Load the weights of the best epoch."""
        assert self._best is not None, "there is no epoch yet"
        load_best(*self._best, model)

    def keep(self, loop: Loop, progress: Progress) -> None:
        """Write a checkpoint where one is due."""
        is_due = progress.is_finished or self.clock() - self._kept_at >= self._seconds
        if self._folder and is_due and self.workers.rank == 0:
            save_checkpoint(self._folder, Checkpoint(progress, pack(*loop.state)))
            self._named = self._best
            self._kept_at = self.clock()
        if progress.is_finished:
            self.workers.wait()
