"""A request that does nothing: what the frame around every answer costs."""

from benchmarks.serving import homes
from benchmarks.serving.client import http
from benchmarks.serving.figures import Row, ratio
from benchmarks.serving.peers import servers as peers
from benchmarks.serving.plan import Plan
from benchmarks.serving.rounds import Target, cpu, describe, interleave
from benchmarks.serving.servers import gateway

MLFLOW_NOOP = http("POST", "/invocations", b'{"inputs":[0]}')
"""The cheapest request that MLflow's scoring server answers with a model."""


def measure(plan: Plan) -> list[Row]:
    """Measure the gateway's `GET /healthz` against a raw ASGI echo and MLflow's scoring server."""
    home = homes.prepare(plan, items=plan.size(50_000, 2_000))
    with gateway(home.folder) as ours, peers.echo(plan) as echo, peers.mlflow_noop(plan) as mlflow:
        samples = interleave(
            {
                "gateway": Target(ours, [http("GET", "/healthz")], plan.size(40_000, 2_000)),
                "echo": Target(echo, [http("GET", "/healthz")], plan.size(40_000, 2_000)),
                "mlflow": Target(mlflow, [MLFLOW_NOOP], plan.size(4_000, 400)),
            },
            plan,
        )
    note = "GET /healthz at 16 connections; " + "; ".join(describe(name, found) for name, found in samples.items())
    ours_us, echo_us, mlflow_us = (cpu(samples[name]) for name in ("gateway", "echo", "mlflow"))
    return [
        ratio("no-op, CPU a request / raw ASGI echo", ours=ours_us, theirs=echo_us, limit=2.0, note=note),
        ratio("no-op, CPU a request / `mlflow models serve` no-op", ours=ours_us, theirs=mlflow_us, limit=0.1),
    ]
