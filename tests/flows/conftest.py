"""One real Prefect server for all tests of flows, and homes over which they run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.lifecycle import Traffic, lifecycle
from flows.services import stack_services
from infra.settings import Settings
from infra.supervisor import running
from tests.flows.homes import RECIPES, WORLD, Lived, at_home, free_port, trace_of


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a stack of which only the Prefect server is up."""
    settings = Settings(home=tmp_path_factory.mktemp("server"), prefect_port=free_port())
    prefect, *_ = stack_services(settings)
    with running(settings, (prefect,)):
        yield settings


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database; making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(server: Settings, mlflow_template: Path, tmp_path: Path) -> Iterator[Settings]:
    """A home of its own for one test."""
    with at_home(tmp_path / "home", server, mlflow=mlflow_template) as settings:
        yield settings


@pytest.fixture(scope="session")
def lived(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A home in which the same lifecycle ran twice, never interrupted; tests of it change nothing."""
    root = tmp_path_factory.mktemp("lived")
    with at_home(root, server, mlflow=mlflow_template) as settings:
        first = lifecycle(WORLD, RECIPES, Traffic.LIVE)
        after_first = trace_of(settings)
        second = lifecycle(WORLD, RECIPES, Traffic.LIVE)
        return Lived(settings, first, second, after_first, trace_of(settings))
