"""A whole request: history from the store, encode, search 100,000 items, rank, log, answer as JSON."""

import subprocess
from contextlib import ExitStack

from benchmarks.serving import homes
from benchmarks.serving.client import http
from benchmarks.serving.figures import Row, not_measured, ratio
from benchmarks.serving.noop import MLFLOW_NOOP
from benchmarks.serving.peers import servers as peers
from benchmarks.serving.plan import Plan
from benchmarks.serving.rounds import Sample, Target, cpu, describe, interleave
from benchmarks.serving.servers import gateway

_LIMITS = {"hnsw": 0.6, "exact": 1.0}
_RAY_LIMIT = 0.15
_NO_RAY = "ray is not installed: give --ray-python the Python of an environment with ray[serve]==2.60.0"


def measure(plan: Plan) -> list[Row]:
    """Measure both kinds of search against servers that do nothing at all."""
    with ExitStack() as stack:
        targets: dict[str, Target] = {}
        words = {}
        for index in _LIMITS:
            home = homes.copy(
                homes.prepare(plan, items=plan.size(100_000, 5_000), index=index), plan.work / f"request-{index}"
            )
            words[index] = home.search.words
            requests = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
            targets[index] = Target(stack.enter_context(gateway(home.folder)), requests, plan.size(5_000, 300))
        mlflow = stack.enter_context(peers.mlflow_noop(plan))
        targets["mlflow"] = Target(mlflow, [MLFLOW_NOOP], plan.size(3_000, 200))
        if has_ray(plan):
            ray = stack.enter_context(peers.ray_noop(plan))
            targets["ray"] = Target(ray, [http("POST", "/", b"{}")], plan.size(1_000, 100))
        samples = interleave(targets, plan)
    return [row for index in _LIMITS for row in _rows(index, samples, words=words[index])]


def _rows(index: str, samples: dict[str, list[Sample]], *, words: str) -> list[Row]:
    name = f"full request, {index} search, CPU a request"
    ours = cpu(samples[index])
    note = f"16 connections, k = 10, 50 events of history; {words} " + "; ".join(
        describe(kind, samples[kind]) for kind in (index, "mlflow")
    )
    title = f"{name} / `mlflow models serve` no-op"
    rows = [ratio(title, ours=ours, theirs=cpu(samples["mlflow"]), limit=_LIMITS[index], note=note)]
    title = f"{name} / Ray Serve no-op"
    if "ray" not in samples:
        return [*rows, not_measured(title, f"<= {_RAY_LIMIT:g} x", _NO_RAY)]
    note = describe("ray", samples["ray"])
    return [*rows, ratio(title, ours=ours, theirs=cpu(samples["ray"]), limit=_RAY_LIMIT, note=note)]


def has_ray(plan: Plan) -> bool:
    """Return whether the Python that was given can import Ray Serve."""
    if plan.ray_python is None or not plan.ray_python.exists():
        return False
    answer = subprocess.run([str(plan.ray_python), "-c", "import ray.serve"], capture_output=True, check=False)
    return answer.returncode == 0
