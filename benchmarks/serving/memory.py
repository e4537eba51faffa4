"""Resident memory of servers that hold the same model, after the same requests."""

import json

import numpy as np

from benchmarks.serving import homes
from benchmarks.serving.client import closed_loop, http, run
from benchmarks.serving.figures import Row
from benchmarks.serving.peers import servers as peers
from benchmarks.serving.plan import Plan
from benchmarks.serving.rounds import CONNECTIONS
from benchmarks.serving.servers import Server, gateway

_LIMIT = 0.5


def measure(plan: Plan) -> list[Row]:
    """Measure the gateway, MLflow's server with the model in torch, and MLflow's server with the bundle."""
    template = homes.prepare(plan, items=plan.size(100_000, 5_000))
    home = homes.copy(template, plan.work / "memory")
    total = plan.size(2_000, 100)
    with gateway(home.folder) as server:
        requests = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
        ours = _after(server, requests, total)
    histories = _histories(home, plan)
    with peers.mlflow_torch(plan, template) as server:
        torch = _after(server, histories, total)
    with peers.mlflow_bundle(plan, template) as server:
        bundled = _after(server, histories, total)
    note = f"gateway {ours:.0f} MB, MLflow (its command's parent process left out) with the same weights in "
    note += f"torch {torch:.0f} MB, after {total} requests"
    values = {"gateway_mb": ours, "mlflow_torch_mb": torch, "mlflow_bundle_mb": bundled}
    ratio = ours / torch
    return [
        Row(
            "resident memory / MLflow's server, same model",
            f"<= {_LIMIT} x",
            f"{ratio:.2f} x",
            ratio <= _LIMIT,
            note,
            values,
        ),
        Row(
            "resident memory / MLflow's server over the bundle",
            "-",
            f"{ours / bundled:.2f} x",
            None,
            f"MLflow {bundled:.0f} MB, without torch",
        ),
    ]


def _after(server: Server, requests: list[bytes], total: int) -> float:
    load = run(closed_loop(server.port, requests, connections=CONNECTIONS, total=total))
    if load.failed:
        raise RuntimeError(f"{load.failed} of {total} requests failed; {server.log} says why")
    return server.memory_mb()


def _histories(home: homes.BenchHome, plan: Plan) -> list[bytes]:
    """Return requests for MLflow with histories like those in the store."""
    rng = np.random.default_rng(plan.seed)
    rows = homes.popular_items(home.num_items, 64 * homes.HISTORY_LENGTH, rng=rng).reshape(64, homes.HISTORY_LENGTH)
    bodies = (json.dumps({"inputs": [[f"item-{item}" for item in row]]}) for row in rows.tolist())
    return [http("POST", "/invocations", body.encode()) for body in bodies]
