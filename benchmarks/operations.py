"""How long `everfeed up` takes from a fresh home until everything answers, and what the idle stack costs.

    python -m benchmarks.operations [--rounds 3] [--idle 60] [--json out.json]

Each round makes a home of its own and calls `everfeed up --detach`. The floor beside it is what a person starts
without Everfeed: `mlflow server` and `prefect server start`, each with its defaults but for SQLite in the folder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from infra.processes import read_record
from infra.settings import Settings
from tests.flows.homes import free_port

_PORTS = ("GATEWAY", "CONSOLE", "PREFECT", "MLFLOW", "EVIDENTLY")
_STEP = 0.05


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a fresh home with free ports."""
    ports = {f"EVERFEED_{name}_PORT": str(free_port()) for name in _PORTS}
    return {**os.environ, "EVERFEED_HOME": str(folder), **ports, "OMP_NUM_THREADS": "1"}


def answers(url: str) -> bool:
    """Say whether an address answers 200."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def deployments(url: str) -> int:
    """Return how many deployments Prefect knows."""
    try:
        found = httpx.post(f"{url}/api/deployments/filter", json={}, timeout=5.0, trust_env=False)
        return len(found.json())
    except (httpx.HTTPError, ValueError):
        return 0


def family(pids: list[int]) -> list[psutil.Process]:
    """Return processes with all of their children."""
    found: set[psutil.Process] = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found |= {process, *process.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return list(found)


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes, and of their children that have ended."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def megabytes(processes: list[psutil.Process]) -> dict[str, float]:
    """Return resident and proportional memory in MiB: the latter counts shared pages once."""
    found = {"rss_mb": 0.0, "pss_mb": 0.0}
    for process in processes:
        try:
            memory = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        found["rss_mb"] += memory.rss / 2**20
        found["pss_mb"] += memory.pss / 2**20
    return {name: round(value, 1) for name, value in found.items()}


def first_answers(waits: dict[str, Callable[[], bool]], child: subprocess.Popen[Any], began: float) -> dict[str, float]:
    """Return after how many seconds each condition first held; `returned` is when the command ended."""
    seconds: dict[str, float] = {}
    while len(seconds) < len(waits) + 1:
        if "returned" not in seconds and child.poll() is not None:
            seconds["returned"] = round(time.monotonic() - began, 2)
            assert child.returncode == 0, "the stack did not start"
        for name, is_so in waits.items():
            if name not in seconds and is_so():
                seconds[name] = round(time.monotonic() - began, 2)
        assert time.monotonic() - began < 300, f"only {sorted(seconds)} answered"
        time.sleep(_STEP)
    return seconds


@contextmanager
def everfeed(folder: Path) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """Bring a fresh home up, and yield its settings with how long what took."""
    mine = environment(folder)
    before, load = os.times(), os.getloadavg()
    began = time.monotonic()
    command = (sys.executable, "-m", "flows.cli", "up", "--detach")
    child = subprocess.Popen(command, env=mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    fields = {name.lower(): mine[f"EVERFEED_{name.upper()}_PORT"] for name in _PORTS}
    settings = Settings(home=folder, **{f"{name}_port": int(port) for name, port in fields.items()})
    waits: dict[str, Callable[[], bool]] = {
        "gateway": lambda: answers(f"{settings.gateway_url}/healthz"),
        "console": lambda: answers(f"{settings.console_url}/healthz"),
        "mlflow": lambda: answers(f"{settings.mlflow_ui_url}/health"),
        "prefect": lambda: answers(f"{settings.prefect_url}/api/health"),
        "schedules registered": lambda: deployments(settings.prefect_url) >= 7,
        "evidently": lambda: answers(f"{settings.evidently_url}/api/version"),
    }
    try:
        seconds = first_answers(waits, child, began)
        own = os.times()
        cpu = cpu_seconds(family([read_record(settings).supervisor])) + own.children_user - before.children_user
        yield settings, {"seconds": seconds, "cpu_seconds": round(cpu, 1), "load": round(load[0], 1)}
    finally:
        began = time.monotonic()
        down = (sys.executable, "-m", "flows.cli", "down")
        subprocess.run(down, env=mine, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(f"down in {time.monotonic() - began:.1f} s")


@contextmanager
def floor(folder: Path) -> Iterator[dict[str, list[int]]]:
    """Run MLflow's and Prefect's servers alone, as their own commands start them."""
    ports = {"mlflow": free_port(), "prefect": free_port()}
    quiet = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    mine = {**os.environ, **quiet, "PREFECT_HOME": str(folder / "prefect")}
    store = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"))
    commands = {
        "mlflow": ("mlflow", "server", *store, "--port", str(ports["mlflow"])),
        "prefect": ("prefect", "server", "start", "--port", str(ports["prefect"])),
    }
    started = {}
    for name, command in commands.items():
        words = (sys.executable, "-m", *command)
        started[name] = subprocess.Popen(
            words, env=mine, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    paths = {"mlflow": "/health", "prefect": "/api/health"}
    try:
        deadline = time.monotonic() + 300
        while not all(answers(f"http://127.0.0.1:{ports[name]}{paths[name]}") for name in ports):
            assert time.monotonic() < deadline, "MLflow or Prefect did not answer"
            time.sleep(0.2)
        yield {name: [process.pid] for name, process in started.items()}
    finally:
        left = family([one.pid for one in started.values()])
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=30)


def idle(groups: dict[str, list[int]], *, seconds: float) -> dict[str, dict[str, float]]:
    """Return memory after, and CPU within, so many idle seconds, by group of processes."""
    before = {name: cpu_seconds(family(pids)) for name, pids in groups.items()}
    time.sleep(seconds)
    found = {
        name: megabytes(family(pids))
        | {"cpu_percent": round(100 * (cpu_seconds(family(pids)) - before[name]) / seconds, 2)}
        for name, pids in groups.items()
    }
    return found | {
        "sum": {key: round(sum(one[key] for one in found.values()), 1) for key in next(iter(found.values()))}
    }


def services(settings: Settings) -> dict[str, list[int]]:
    """Return the processes of a stack by service; the supervisor's children are the services' own."""
    return {one.name: [one.pid] for one in read_record(settings).services}


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a table."""
    print(f"\n{title}\n{'':12}{'PSS MB':>10}{'RSS MB':>10}{'CPU %':>8}")
    for name, one in table.items():
        print(f"{name:12}{one['pss_mb']:>10.0f}{one['rss_mb']:>10.0f}{one['cpu_percent']:>8.2f}")


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    rounds, result = [], dict[str, Any]()
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory() as folder, everfeed(Path(folder) / "home") as (settings, found):
            rounds.append(found)
            print(f"round {number + 1}: {found['seconds']} CPU {found['cpu_seconds']} s, load {found['load']}")
            if number == asked.rounds - 1:
                time.sleep(10)
                result["everfeed"] = idle(services(settings), seconds=asked.idle)
                own = psutil.Process(read_record(settings).supervisor)
                result["supervisor"] = megabytes([own])
    returned = [one["seconds"]["returned"] for one in rounds]
    print(f"up --detach: median {statistics.median(returned):.1f} s of {returned}, {os.cpu_count()} CPUs")
    show("everfeed, idle", result["everfeed"])
    print(f"supervisor  {result['supervisor']['pss_mb']:>10.0f}{result['supervisor']['rss_mb']:>10.0f}")
    with tempfile.TemporaryDirectory() as folder, floor(Path(folder)) as groups:
        time.sleep(10)
        result["floor"] = idle(groups, seconds=asked.idle)
    show("mlflow server and prefect server start, idle", result["floor"])
    if asked.json:
        asked.json.write_text(json.dumps(result | {"rounds": rounds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
