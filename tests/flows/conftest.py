"""One real Prefect server for all tests of flows, and homes over which they run."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.lifecycle import lifecycle
from flows.references import Traffic
from flows.services import stack_services
from infra.settings import Settings
from infra.supervisor import Stack
from tests.flows.homes import RECIPES, WORLD, Lived, at_home, free_port, run_until_killed, trace_of


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Stack]]:
    """A stack of which only the Prefect server was started; other things can be made while it comes up."""
    settings = Settings(home=tmp_path_factory.mktemp("server"), prefect_port=free_port())
    prefect, *_ = stack_services(settings)
    stack = Stack(settings, (prefect,))
    try:
        stack.start()
        yield settings, stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def mlflow_template(starting: tuple[Settings, Stack], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database; making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def server(starting: tuple[Settings, Stack], mlflow_template: Path) -> Settings:
    """The settings of a stack of which only the Prefect server is up."""
    settings, stack = starting
    stack.wait_ready(timeout_seconds=180)
    return settings


@pytest.fixture
def home(server: Settings, mlflow_template: Path, tmp_path: Path) -> Iterator[Settings]:
    """A home of its own for one test."""
    with at_home(tmp_path / "home", server, mlflow=mlflow_template) as settings:
        yield settings


@pytest.fixture(scope="session")
def first_death(
    server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A home, and a process whose lifecycle over it will be killed in the middle of a training."""
    root = tmp_path_factory.mktemp("interrupted")
    with at_home(root, server, mlflow=mlflow_template) as settings:
        process = run_until_killed("training", settings)
    yield root, process
    process.kill()
    process.communicate()


@pytest.fixture(scope="session")
def lived(
    request: pytest.FixtureRequest, server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Lived:
    """A home in which the same lifecycle ran twice, never interrupted; tests of it change nothing."""
    if any("interrupted" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("first_death")  # it takes as long, on the other core
    root = tmp_path_factory.mktemp("lived")
    with at_home(root, server, mlflow=mlflow_template) as settings:
        first = lifecycle(WORLD, RECIPES, Traffic.LIVE)
        after_first = trace_of(settings)
        second = lifecycle(WORLD, RECIPES, Traffic.LIVE)
        return Lived(settings, first, second, after_first, trace_of(settings))
