"""The servers that the gateway is compared with, each started as its own makers start it."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving.figures import ROOT
from benchmarks.serving.homes import WEIGHTS, BenchHome
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, free_port, running

_CODE = Path(__file__).parent
_SAVE = """
import json, sys, mlflow
from mlflow.pyfunc import scoring_server
path, port, code, *pairs = sys.argv[1:]
artifacts = dict(pair.split("=", 1) for pair in pairs)
digest = artifacts.pop("digest", "")
mlflow.pyfunc.save_model(
    path, python_model=code, artifacts=artifacts or None, model_config={"digest": digest}, pip_requirements=["mlflow"]
)
command, environment = scoring_server.get_cmd(path, port=int(port), host="127.0.0.1", nworkers=1)
own = {name: environment[name] for name in (scoring_server._SERVER_MODEL_PATH, "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT")}
print(json.dumps([command.split(), own]))
"""
"""Saves a model and prints the command, and its environment, that `mlflow models serve --env-manager local` runs."""


@contextmanager
def echo(plan: Plan) -> Iterator[Server]:
    """Hold up the raw ASGI echo, under the same server with the same settings as the gateway."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.serving.peers.echo", str(port))
    with running(command, port=port, log=plan.work / "logs" / "echo.log", ready="/") as server:
        yield server


@contextmanager
def mlflow_noop(plan: Plan) -> Iterator[Server]:
    """Hold up MLflow's scoring server over a model that does nothing."""
    with _mlflow(plan, "noop_pyfunc") as server:
        yield server


@contextmanager
def mlflow_torch(plan: Plan, home: BenchHome) -> Iterator[Server]:
    """Hold up MLflow's scoring server over the champion in torch."""
    weights, bundle = home.folder / WEIGHTS / home.champion, home.folder / "bundles" / home.champion
    with _mlflow(plan, "sasrec_pyfunc", f"weights={weights}", f"bundle={bundle}") as server:
        yield server


@contextmanager
def mlflow_bundle(plan: Plan, home: BenchHome) -> Iterator[Server]:
    """Hold up MLflow's scoring server over the champion's bundle."""
    bundle = home.folder / "bundles" / home.champion
    with _mlflow(plan, "bundle_pyfunc", f"bundle={bundle}", f"digest={home.champion}") as server:
        yield server


@contextmanager
def ray_noop(plan: Plan) -> Iterator[Server]:
    """Hold up Ray Serve over a deployment that does nothing.

    Raises:
        RuntimeError: The Python that was given has no Ray Serve.
    """
    assert plan.ray_python is not None, "asked for only where there is one"
    port, folder = free_port(), tempfile.mkdtemp(prefix="ray", dir="/tmp")  # Ray's sockets need a short path
    command = (str(plan.ray_python), str(_CODE / "ray_noop.py"), str(port), folder)
    try:
        with running(command, port=port, log=plan.work / "logs" / "ray.log", ready="/") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _mlflow(plan: Plan, code: str, *artifacts: str) -> Iterator[Server]:
    folder, port = plan.work / "peers" / code, free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    save = (sys.executable, "-c", _SAVE, str(folder), str(port), str(_CODE / f"{code}.py"), *artifacts)
    answer = subprocess.run(save, check=True, cwd=ROOT, capture_output=True, text=True)
    command, environment = json.loads(answer.stdout.splitlines()[-1])
    log = plan.work / "logs" / f"{code}.log"
    ours = (sys.executable, "-m", *command)
    with running(ours, port=port, log=log, ready="/ping", environment=environment) as server:
        yield server
