"""Homes of Everfeed for tests: a small real world, and the recipes that are trained on it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from pydantic import JsonValue

from flows.ingest import ingest
from flows.lifecycle import Data, LifecycleOutcome
from flows.references import Snapshot
from flows.validate import validate
from flows.wiring import Platform, connect
from infra.settings import Settings
from recmodels.presets import item_knn, popularity
from recmodels.recipe import ModelChoice, Recipe
from recmodels.trainer_config import TrainerConfig

ROOT = Path(__file__).parent.parent.parent
WORLD = Data(source="synthetic", path=ROOT, options={"users": 150, "items": 120, "creators": 20, "days": 28})
"""A seeded world of about 16,000 exposures."""
SASREC = Recipe(
    name="sasrec",
    model=ModelChoice(
        name="sasrec", config={"embedding_dim": 16, "num_layers": 1, "num_heads": 1, "max_length": 20, "negatives": 32}
    ),
    trainer=TrainerConfig(epochs=6, patience=6, batch_size=64, checkpoint_seconds=0.0),
)
RECIPES = [popularity(), item_knn(), SASREC]


@dataclass(frozen=True)
class Trace:
    """What a home holds that a repeated lifecycle must not add to."""

    lake: dict[str, int]
    """Version by table."""
    runs: dict[str, str]
    """Name of each MLflow run by its id."""
    models: tuple[tuple[int, str], ...]
    """Registered versions with their digests."""
    files: dict[str, int]
    """When each file of bundles and training runs was written, in nanoseconds."""
    rollouts: tuple[str, ...]


@dataclass(frozen=True)
class Lived:
    """A home in which the same lifecycle ran twice, with what it held after each."""

    settings: Settings
    first: LifecycleOutcome
    second: LifecycleOutcome
    after_first: Trace
    after_second: Trace


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def at_home(root: Path, server: Settings, *, mlflow: Path) -> Iterator[Settings]:
    """Let flows of this process work over the home `root`, and report to a Prefect server that runs.

    Args:
        root: The home; a new one starts with a copy of the MLflow database `mlflow`.
        server: Whose Prefect server is up.
        mlflow: An empty MLflow database of the present schema.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERFEED_HOME", str(root))
        patch.setenv("EVERFEED_PREFECT_PORT", str(server.prefect_port))
        settings = Settings()
        settings.root.mkdir(parents=True, exist_ok=True)
        if not (settings.root / "mlflow.db").exists():
            shutil.copy(mlflow, settings.root / "mlflow.db")
        values = {
            PREFECT_HOME: settings.root / "prefect",
            PREFECT_API_URL: f"{settings.prefect_url}/api",
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its thread costs every flow a second
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with temporary_settings(values):
            yield settings


def trace_of(settings: Settings) -> Trace:
    """Return what a home holds."""
    home = connect(settings)
    lake = {name: home.lake.version(name) for name in ("interactions", "items", "users", "quarantine")}
    files = [path for root in (settings.bundles, settings.runs) for path in root.rglob("*") if path.is_file()]
    return Trace(
        lake={name: version for name, version in lake.items() if version is not None},
        runs=runs_of(home),
        models=tuple((known.version, known.digest) for known in home.registry.versions()),
        files={str(path.relative_to(settings.root)): path.stat().st_mtime_ns for path in files},
        rollouts=tuple(rollout.rollout_id for rollout in home.rollouts.rollouts()),
    )


def runs_of(home: Platform) -> dict[str, str]:
    """Return the name of every MLflow run by its id."""
    found = home.tracker.client.search_runs([home.tracker.experiment_id])
    return {run.info.run_id: run.info.run_name for run in found}


def steps_of(home: Platform, run_id: str, metric: str) -> list[int]:
    """Return the steps at which a metric was logged, in the order of logging."""
    history = home.tracker.client.get_metric_history(run_id, metric)
    return [entry.step for entry in sorted(history, key=lambda entry: (entry.timestamp, entry.step))]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a process that works over a home."""
    return {
        **os.environ,
        **settings.environment(),
        "EVERFEED_PREFECT_PORT": str(settings.prefect_port),
        "EVERFEED_GATEWAY_PORT": str(settings.gateway_port),
        "PYTHONPATH": str(ROOT),
    }


def ingested(data: Data = WORLD) -> Snapshot:
    """Bring a source into the lake of the present home."""
    return validate(ingest(data.source, data.path, data.options, data.name))


def python(*arguments: str) -> tuple[str, ...]:
    """Return a command line of this interpreter."""
    return (sys.executable, *arguments)


def api(settings: Settings, path: str, body: JsonValue = None, *, method: str = "POST") -> Any:
    """Ask the Prefect server and return its answer; ask again, as its own client does, where its database is locked."""
    for pause in (0.5, 1.0, 2.0, 4.0, 8.0, 0.0):
        answer = httpx.request(method, f"{settings.prefect_url}/api/{path}", json=body, timeout=60.0)
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            break
        time.sleep(pause)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def run_until_killed(moment: str, settings: Settings) -> subprocess.Popen[str]:
    """Start a lifecycle over a home that will kill itself: in `training`, or between two `stages`."""
    return subprocess.Popen(
        python("-m", "tests.flows.killed", moment),
        env=environment(settings),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
