"""A flow that takes its turn to train and notes when: `python -m tests.flows.turning FILE SECONDS`."""

import sys
import time
from pathlib import Path

from prefect import flow

from flows.turns import training_turn
from infra.settings import Settings


@flow
def hold(file: Path, seconds: float) -> None:
    """Take the turn, and note when it began and ended."""
    with training_turn(Settings()):
        with file.open("a") as notes:
            notes.write(f"begin {time.time()}\n")
        time.sleep(seconds)
        with file.open("a") as notes:
            notes.write(f"end {time.time()}\n")


if __name__ == "__main__":
    hold(Path(sys.argv[1]), float(sys.argv[2]))
