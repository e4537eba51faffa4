"""20,000 requests that are wrong, nearly right or absurd: none may be answered with a server error."""

import psutil

from benchmarks.serving import homes
from benchmarks.serving.figures import Row
from benchmarks.serving.plan import Plan, say
from benchmarks.serving.servers import Server, gateway

_SHOWN = 5


def measure(plan: Plan) -> list[Row]:
    """Start a gateway with a champion and a challenger, and fuzz it; see `benchmarks.fuzz_gateway`."""
    from benchmarks.fuzz_gateway import Tally, by_bytes, by_schema

    home = homes.copy(homes.prepare(plan, items=2_000, users=300), plan.work / "fuzz")
    database = home.database()
    home.challenge(database)
    database.close()
    tally, total = Tally(), plan.size(20_000, 400)
    with gateway(home.folder) as server:
        before = _workers(server)
        by_schema(server.url, tally, count=total // 2, token=home.settings.token(), random_seed=plan.seed)
        say(f"{tally.num_sent} requests after the contract, now bytes")
        by_bytes(server.port, tally, count=total - tally.num_sent, random_seed=plan.seed)
        survived = _workers(server) == before
        traces = server.log.read_text(errors="replace").count("Traceback")
    for failure in [*tally.failures, *tally.broken_promises][:_SHOWN]:
        say(failure)
    statuses = dict(sorted(tally.statuses.items()))
    return [
        Row(
            f"bad input: {tally.num_sent} requests of schemathesis and hypothesis",
            "no 5xx",
            f"{len(tally.failures)} 5xx",
            not tally.failures and survived,
            f"503 with Retry-After is none; by status {statuses} (0: closed without an answer); the worker "
            f"{'lives' if survived else 'DIED'}, {traces} tracebacks in its log",
            {"statuses": statuses, "failures": tally.failures[:100], "seed": plan.seed},
        ),
        Row(
            "answers that the OpenAPI document does not allow",
            "0",
            str(len(tally.broken_promises)),
            not tally.broken_promises,
            "status, content type and schema of every answer to the schemathesis half",
            {"found": tally.broken_promises[:100]},
        ),
    ]


def _workers(server: Server) -> set[int]:
    return {child.pid for child in psutil.Process(server.process.pid).children()}
