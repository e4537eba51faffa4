"""What ranking together saves when many ask at once, and what it costs one who asks alone."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.serving import homes
from benchmarks.serving.client import http
from benchmarks.serving.figures import Row, ratio
from benchmarks.serving.plan import Plan
from benchmarks.serving.rounds import Target, cpu, describe, interleave
from benchmarks.serving.servers import Server, free_port, running

_CROWD = 64
_CPU_LIMIT, _ALONE_LIMIT = 0.8, 1.1
_SWITCHES = {"batched": (), "unbatched": ("unbatched",)}


def measure(plan: Plan) -> list[Row]:
    """Measure the same application with and without batching, with 64 requests at once and with one."""
    template = homes.prepare(plan, items=plan.size(100_000, 5_000), index="exact")
    totals = {1: plan.size(2_000, 150), _CROWD: plan.size(6_000, 400)}
    with ExitStack() as stack:
        targets = {}
        for name, switches in _SWITCHES.items():
            home = homes.copy(template, plan.work / name)
            bodies = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
            server = stack.enter_context(_one_process(plan, home, name, switches))
            for connections, total in totals.items():
                targets[f"{name} at {connections}"] = Target(server, bodies, total, connections)
        samples = interleave(targets, plan)
    crowd, alone, without = (
        samples[f"{name}"] for name in (f"batched at {_CROWD}", "batched at 1", f"unbatched at {_CROWD}")
    )
    note = "; ".join(describe(name, found) for name, found in samples.items())
    medians = {name: [sample.p50_ms for sample in samples[f"{name} at 1"]] for name in _SWITCHES}
    return [
        ratio(
            "batching, CPU a request at 64 at once / one at a time",
            ours=cpu(crowd),
            theirs=cpu(alone),
            limit=_CPU_LIMIT,
            note=note,
        ),
        ratio(
            "batching, CPU a request at 64 at once / without batching",
            ours=cpu(crowd),
            theirs=cpu(without),
            limit=_CPU_LIMIT,
        ),
        ratio(
            "batching, p50 alone / without batching",
            ours=medians["batched"],
            theirs=medians["unbatched"],
            limit=_ALONE_LIMIT,
        ),
    ]


@contextmanager
def _one_process(plan: Plan, home: homes.BenchHome, name: str, switches: tuple[str, ...]) -> Iterator[Server]:
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.serving.peers.one_process", str(port), *switches)
    log, environment = plan.work / "logs" / f"{name}.log", {"EVERFEED_HOME": str(home.folder)}
    with running(command, port=port, log=log, ready="/readyz", environment=environment) as server:
        yield server
