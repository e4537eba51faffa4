"""Real stores for the tests of infra: a migrated SQLite file copied for each test, PostgreSQL, and MLflow on SQLite."""

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.database import Database, metadata, open_database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    open_database(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "everfeed.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, or a skip where none is installed."""
    pytest.importorskip("psycopg", reason="PostgreSQL's driver psycopg is not installed")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    with tempfile.TemporaryDirectory(prefix="everfeed-pg-", dir="/tmp") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data, log = f"{folder}/data", f"{folder}/log"
        _as_postgres(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "everfeed", "-E", "UTF8", "-N")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        _as_postgres(str(programs / "pg_ctl"), "-D", data, "-l", log, "-w", "-o", options, "start")
        url = f"postgresql+psycopg://everfeed@/postgres?host={folder}"
        try:
            yield url
        finally:
            _as_postgres(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    database = open_database(postgresql_server)
    with database.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    database.close()
    return postgresql_server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind, at the newest schema and empty."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database; making one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(mlflow_template: Path, tmp_path: Path) -> str:
    shutil.copy(mlflow_template, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def later() -> Callable[[float], datetime]:
    """Return the moment so many seconds after `now`."""
    return lambda seconds: datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)


def _postgresql_programs() -> Path | None:
    """Return the folder of the newest server's programs, where this user may run them."""
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True).returncode:
        return None
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")] or [Path(shutil.which("initdb") or "/nowhere")]
    newest = max(found, key=lambda path: [int(part) for part in path.parts if part.isdecimal()])
    return newest.parent if newest.exists() else None


def _as_postgres(*command: str) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if getpass.getuser() == "root" else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/", timeout=120)
