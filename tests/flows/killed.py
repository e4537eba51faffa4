"""A process that runs the lifecycle over its home and kills itself with SIGKILL at the moment it is told.

Run as `python -m tests.flows.killed training|released`; not a test module.
"""

import os
import signal
import sys

from flows import progress
from flows.lifecycle import lifecycle
from flows.references import Traffic
from tests.flows.homes import RECIPES, WORLD

EPOCHS_BEFORE = 2
"""Epochs that are finished when the training is killed; it dies in the middle of the next one."""


class InTraining(progress.Reporter):
    """Dies at a step of the third epoch."""

    def report(self, what: str, done: int, total: int) -> None:
        epochs = next(recipe.trainer.epochs for recipe in RECIPES if recipe.name == "sasrec")
        if what == "train sasrec" and done > EPOCHS_BEFORE * total // epochs:
            _die()


class BetweenStages(progress.Reporter):
    """Dies after the training, before the release."""

    def finish(self, stage: str, seconds: float) -> None:
        if stage == "train and evaluate":
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    progress._current = {"training": InTraining, "stages": BetweenStages}[sys.argv[1]]()
    lifecycle(WORLD, RECIPES, Traffic.LIVE)
