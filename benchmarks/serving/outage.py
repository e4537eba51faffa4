"""Prefect and MLflow stand still for ten minutes: serving goes on, and the control loop resumes when they are back.

They are stopped with SIGSTOP rather than killed: a server that hangs is worse than one that is gone, and the supervisor
would start one that is gone anew.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.serving import homes
from benchmarks.serving.client import Load, http, run
from benchmarks.serving.figures import ROOT, Row
from benchmarks.serving.open_loop import arrivals, open_loop
from benchmarks.serving.plan import Plan, say
from benchmarks.serving.servers import QUIET, free_port
from benchmarks.serving.sustained import follow_with_click
from infra.processes import read_record, signal_group
from infra.settings import Settings

_STOPPED = ("prefect", "mlflow")
_RATE = 100.0
_RESUME_SECONDS = 60.0
_GIVE_UP_SECONDS = 400.0
_LATENCY_FACTOR = 1.5
_DEPLOYMENT = "look/every-5-minutes"


@dataclass(frozen=True)
class _Outage:
    before: Load
    during: Load
    resumed_seconds: float | None
    state: str


def measure(plan: Plan) -> list[Row]:
    """Bring the whole stack up over a home of its own, stop the two, and watch the gateway and the control loop."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "outage")
    command = (sys.executable, "-m", "benchmarks.serving.outage", str(home.folder))
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **QUIET}, capture_output=True)
    database = home.database()
    home.challenge(database)
    database.close()
    with _stack(home.folder) as settings:
        found = run(_stop_and_go(home, settings, plan, seconds=plan.size(600, 20)))
    return _rows(found, seconds=plan.size(600, 20))


def _rows(found: _Outage, *, seconds: int) -> list[Row]:
    before, during = found.before, found.during
    p99_before, p99 = before.milliseconds(0.99), during.milliseconds(0.99)
    statuses = [*during.statuses, *during.feedback_statuses]
    note = f"{_RATE:.0f}/s with clicks; p99 before {p99_before:.1f} ms, during {p99:.1f} ms; statuses "
    note += str({status: statuses.count(status) for status in sorted(set(statuses))})
    resumed = "not seen" if found.resumed_seconds is None else f"{found.resumed_seconds:.0f} s"
    return [
        Row(
            f"Prefect and MLflow stopped for {seconds} s: serving",
            f"0 failed, p99 <= {_LATENCY_FACTOR} x",
            f"{during.failed} failed, p99 {p99 / p99_before:.2f} x",
            during.failed == 0 and p99 <= _LATENCY_FACTOR * p99_before,
            note,
        ),
        Row(
            "the same: the control loop after their return",
            f"<= {_RESUME_SECONDS:.0f} s",
            resumed,
            found.resumed_seconds is not None and found.resumed_seconds <= _RESUME_SECONDS,
            f"until a run of `{_DEPLOYMENT}` that began after it ended; it ended as {found.state}",
        ),
    ]


async def _stop_and_go(home: homes.BenchHome, settings: Settings, plan: Plan, *, seconds: int) -> _Outage:
    bodies = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
    rng = np.random.default_rng(plan.seed)

    async def load(length: float) -> Load:
        due = arrivals(_RATE, length, rng=rng)
        return await open_loop(settings.gateway_port, bodies, due, follow=follow_with_click)

    before = await load(min(60, seconds))
    deployment = await asyncio.to_thread(_schedule_look, settings, after=seconds / 2)
    _signal(settings, signal.SIGSTOP)
    say(f"Prefect and MLflow are stopped for {seconds} s")
    try:
        during = await load(seconds)
    finally:
        _signal(settings, signal.SIGCONT)
    resumed, state = await asyncio.to_thread(_wait_for_look, settings, deployment, since=datetime.now(UTC))
    return _Outage(before, during, resumed, state)


def _signal(settings: Settings, number: signal.Signals) -> None:
    for service in read_record(settings).services:
        if service.name in _STOPPED:
            signal_group(service.pid, number)


def _schedule_look(settings: Settings, *, after: float) -> str:
    """Ask for one more look in the middle of the outage, as the schedule does in a long one; return its deployment."""
    deadline = time.monotonic() + 120
    while True:
        answer = _prefect(settings, "GET", f"/deployments/name/{_DEPLOYMENT}")
        if answer.status_code == httpx.codes.OK:
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"no deployment {_DEPLOYMENT}: {answer.text[:300]}")
        time.sleep(1)
    deployment: str = answer.json()["id"]
    moment = (datetime.now(UTC) + timedelta(seconds=after)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": moment}}
    _prefect(settings, "POST", f"/deployments/{deployment}/create_flow_run", {"state": state}).raise_for_status()
    return deployment


def _wait_for_look(settings: Settings, deployment: str, *, since: datetime) -> tuple[float | None, str]:
    """Return seconds from `since` to the end of the first look that began after it, and its state."""
    wanted = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"start_time": {"after_": since.isoformat()}, "end_time": {"after_": since.isoformat()}},
        "sort": "END_TIME_DESC",
    }
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.5)
        answer = _prefect(settings, "POST", "/flow_runs/filter", wanted)
        done = [found for found in answer.json() if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
        if done:
            ends = min(done, key=lambda found: str(found["end_time"]))
            return (datetime.fromisoformat(ends["end_time"]) - since).total_seconds(), str(ends["state_type"])
    return None, "nothing"


def _prefect(settings: Settings, method: str, path: str, body: Any = None) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=60.0) as client:
        return client.request(method, f"{settings.prefect_url}/api{path}", json=body)


@contextmanager
def _stack(home: Path) -> Iterator[Settings]:
    """Hold `everfeed up` over a home, on ports of its own."""
    names = ("gateway_port", "console_port", "prefect_port", "mlflow_port")
    ports = {name: free_port() for name in names}
    settings = Settings(home=home, **ports)  # type: ignore[arg-type]  # every name is of a port
    own = {f"EVERFEED_{name.upper()}": str(port) for name, port in ports.items()}
    environment = {**os.environ, **QUIET, "EVERFEED_HOME": str(home), **own}
    everfeed = (sys.executable, "-m", "flows.cli")
    log = home / "logs" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        up = (*everfeed, "up", "--detach")
        subprocess.run(up, check=True, cwd=ROOT, env=environment, stdout=file, stderr=file, timeout=300)
    try:
        yield settings
    finally:
        subprocess.run((*everfeed, "down"), check=True, cwd=ROOT, env=environment, capture_output=True, timeout=120)


def _register(home: Path) -> None:
    """Make the two bundles versions 1 and 2 of the registered model, so that the control loop finds them there."""
    import json

    from flows.wiring import MODEL_NAME
    from infra.model_registry import ModelRegistry
    from infra.tracking import Tracker

    settings = Settings(home=home)
    run_id = Tracker(settings.mlflow, artifacts=settings.artifacts).lifecycle_run("benchmark", name="b", tags={})
    registry = ModelRegistry(settings.mlflow, MODEL_NAME)
    facts = json.loads((home / "home.json").read_text())
    for role in ("champion", "challenger"):
        registry.register(facts[role], run_id=run_id, source=str(settings.bundles / facts[role]), tags={})


if __name__ == "__main__":
    _register(Path(sys.argv[1]))
