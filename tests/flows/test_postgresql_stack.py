"""Prefect, MLflow, the searches and Everfeed's own tables on one PostgreSQL server, a database each."""

import socket
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from flows.services import stack_services
from infra.database import open_database
from infra.settings import Settings
from infra.supervisor import Stack
from infra.tracking import Tracker
from tests.postgresql import Server

NAMES = ("team_own", "team_mlflow", "team_prefect")


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def tables(server: Server, name: str) -> set[str]:
    engine = create_engine(make_url(server.url(name)).set(drivername="postgresql+pg8000"))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        names = set(found)
    engine.dispose()
    return names


@pytest.mark.slow
def test_the_whole_stack_starts_on_postgresql(
    tmp_path: Path, postgresql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(make_url(postgresql_server.url()).set(drivername="postgresql+pg8000"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in NAMES:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    own, mlflow, prefect = map(postgresql_server.url, NAMES)
    ports = free_ports(4)
    wanted = {"HOME": tmp_path, "DATABASE_URL": own, "MLFLOW_URL": mlflow, "PREFECT_DATABASE_URL": prefect}
    wanted |= dict(zip(("GATEWAY_PORT", "CONSOLE_PORT", "PREFECT_PORT", "MLFLOW_PORT"), ports, strict=True))
    for name, value in wanted.items():
        monkeypatch.setenv(f"EVERFEED_{name}", str(value))
    settings = Settings()
    open_database(settings.database).close()
    stack = Stack(settings, stack_services(settings, with_schedules=False))
    try:
        stack.start()
        stack.wait_ready(timeout_seconds=180)
        run = Tracker(settings.mlflow, artifacts=settings.artifacts).lifecycle_run("a", name="a run", tags={"why": "x"})
        api = httpx.post(f"{settings.prefect_url}/api/flows/", json={"name": "a-flow"}, trust_env=False)
        seen = httpx.get(f"{settings.mlflow_ui_url}/api/2.0/mlflow/runs/get?run_id={run}", trust_env=False)
    finally:
        stack.stop()

    assert api.status_code in {200, 201}
    assert seen.json()["run"]["info"]["run_name"] == "a run"
    assert {"rollouts", "requests"} <= tables(postgresql_server, "team_own")
    assert {"experiments", "runs"} <= tables(postgresql_server, "team_mlflow")
    assert {"flow", "flow_run"} <= tables(postgresql_server, "team_prefect")
    assert not list(tmp_path.glob("**/*.db"))
    assert not any("s:word" in log.read_text() for log in settings.logs.iterdir())
