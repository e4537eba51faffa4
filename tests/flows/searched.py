"""Homes whose lake holds a small world, and the search that is made over them.

Run as `python -m tests.flows.searched`, it is a process that searches over its home and kills itself with SIGKILL in
the middle of a trial.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows import progress
from flows.references import DataSet
from flows.tune import tune
from flows.wiring import Platform, connect
from infra.settings import Settings
from recmodels.data.interactions import normalise
from recmodels.data.schema import TIMESTAMP, Tables
from recmodels.data.sources import SOURCES
from recmodels.search import SearchConfig, parse_search
from tests.flows.homes import SASREC, at_home

EPOCHS = 3
TRIALS = 7
DIES_IN = 2
"""The trial that is interrupted, after its first epoch."""
SPACE: dict[str, Any] = {
    "trainer.learning_rate": {"kind": "log", "low": 0.0005, "high": 0.05},
    "model.config.dropout": {"kind": "uniform", "low": 0.0, "high": 0.6},
    "model.config.embedding_dim": {"kind": "choice", "values": [15, 16]},
    "model.config.num_heads": {"kind": "int", "low": 1, "high": 2},
}
"""Two heads do not divide a vector of 15, so that some trials fail."""


class StopError(Exception):
    """Stands for the death of a process."""


class InTrial(progress.Reporter):
    """Ends the process, or the flow, at the first step of a trial's second epoch."""

    def __init__(self, *, is_real: bool) -> None:
        self._is_real = is_real

    def report(self, what: str, done: int, total: int) -> None:
        if what == f"trial {DIES_IN}" and done > total // EPOCHS and total > 1:
            if self._is_real:
                os.kill(os.getpid(), signal.SIGKILL)
            raise StopError


def search_of(**changes: Any) -> SearchConfig:
    """Return a search of which every outcome is to be expected."""
    recipe = SASREC.model_dump(mode="json")
    recipe["trainer"] |= {"epochs": EPOCHS}
    pruner = {"startup_trials": 2, "warmup_epochs": 1}
    return parse_search({"recipe": recipe, "space": SPACE, "trials": TRIALS, "seed": 3, "pruner": pruner, **changes})


@cache
def world() -> Tables:
    """Return the tables of a small world."""
    tables: Tables = SOURCES.module("synthetic").read(Path(), users=60, items=60, creators=10, days=14)
    return tables


@contextmanager
def home_with_data(
    root: Path, server: Settings, *, mlflow: Path, interactions: pa.Table | None = None
) -> Iterator[Platform]:
    """Let flows work over a new home whose lake holds the world, or other interactions of it."""
    with at_home(root, server, mlflow=mlflow) as settings:
        home, tables = connect(settings), world()
        rows = normalise(tables.interactions if interactions is None else interactions, source="synthetic")
        bounds = pc.min_max(rows[TIMESTAMP]).as_py()
        day = timedelta(days=1)
        home.lake.write_window("interactions", rows, start=bounds["min"] - day, end=bounds["max"] + day)
        home.lake.replace("items", tables.items)
        home.lake.replace("users", tables.users)
        (settings.root / "data_set.json").write_text(DataSet(name="world", is_order_only=False).model_dump_json())
        yield home


if __name__ == "__main__":
    progress._current = InTrial(is_real=True)
    tune(search_of())
