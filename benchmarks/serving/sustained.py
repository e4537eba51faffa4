"""Ten minutes of open load with a canary running, everything logged and one answer in five clicked."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import func, select

from benchmarks.serving import homes
from benchmarks.serving.client import Load, http, run
from benchmarks.serving.feedback import FEEDBACK_PATH, click, first_item, request_id
from benchmarks.serving.figures import Row, quantile
from benchmarks.serving.open_loop import arrivals, open_loop
from benchmarks.serving.plan import Plan
from benchmarks.serving.scrape import bound, scrape, total
from benchmarks.serving.servers import gateway
from infra.event_records import outcomes, requests

_WORKERS = 2
"""Processes that answer: the machine has two cores, of which the client needs a tenth of one."""
_RATE = 520.0
_TARGET_RATE, _TARGET_MS = 500.0, 50.0
_LOSS_SECONDS = 0.01
_CLICK_EVERY = 5


@dataclass(frozen=True)
class _Run:
    load: Load
    cpu_seconds: float
    memory_mb: float
    log_p99_seconds: float
    fallbacks: int
    logged: int
    kept: int


def measure(plan: Plan) -> list[Row]:
    """Send 520 requests and 104 clicks a second at 50,000 items for ten minutes."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "sustained")
    seconds = plan.size(600, 6)
    found = _run(home, plan, seconds=seconds)
    load = found.load
    p99 = load.milliseconds(0.99)
    holds = load.rate >= _TARGET_RATE and p99 <= _TARGET_MS and load.failed == 0
    return [
        Row(
            "sustained load, open loop, canary, logging and feedback on, 50 k items",
            f">= {_TARGET_RATE:.0f} requests/s, p99 <= {_TARGET_MS:.0f} ms, 0 errors",
            f"{load.rate:.0f} requests/s, p99 {p99:.1f} ms, {load.failed} errors",
            holds,
            _note(found, seconds),
            _values(found),
        ),
        Row(
            "loss window: from an answer to its durable row, p99",
            f"<= {_LOSS_SECONDS * 1e3:.0f} ms",
            f"<= {found.log_p99_seconds * 1e3:g} ms",
            found.log_p99_seconds <= _LOSS_SECONDS,
            "upper bound of the histogram's bucket, everfeed_log_seconds",
        ),
        Row(
            "answers and feedback that are in the store afterwards",
            "all",
            f"{found.logged} of {load.statuses.count(200)}, {found.kept} of {load.feedback_statuses.count(200)}",
            found.logged >= load.statuses.count(200) and found.kept >= load.feedback_statuses.count(200),
        ),
    ]


def follow_with_click(number: int, body: bytes) -> bytes | None:
    """Click on the first item of every fifth answer."""
    if number % _CLICK_EVERY:
        return None
    answered = request_id(body)
    return http("POST", FEEDBACK_PATH, click(f"{answered}-0", answered, first_item(body)))


def _run(home: homes.BenchHome, plan: Plan, *, seconds: int) -> _Run:
    database = home.database()
    home.challenge(database)
    bodies = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
    rng = np.random.default_rng(plan.seed)
    with gateway(home.folder, workers=_WORKERS) as server:
        warm_up = run(open_loop(server.port, bodies, arrivals(_RATE / 2, min(seconds, 5), rng=rng)))
        before, text = server.cpu_seconds(), scrape(server)
        load = run(open_loop(server.port, bodies, arrivals(_RATE, seconds, rng=rng), follow=follow_with_click))
        spent, memory, after = server.cpu_seconds() - before, server.memory_mb(), scrape(server)
    with database.read() as connection:
        logged = connection.execute(select(func.count()).select_from(requests)).scalar_one()
        kept = connection.execute(select(func.count()).select_from(outcomes)).scalar_one()
    database.close()
    fallbacks = int(total(after, "everfeed_fallbacks") - total(text, "everfeed_fallbacks"))
    log_p99 = bound(after, "everfeed_log_seconds", 0.99)
    return _Run(load, spent, memory, log_p99, fallbacks, logged - warm_up.statuses.count(200), kept)


def _note(found: _Run, seconds: int) -> str:
    load = found.load
    feedback = [quantile(load.feedback_seconds, share) * 1e3 for share in (0.5, 0.99)]
    each = found.cpu_seconds / (load.requests + len(load.feedback_statuses)) * 1e6
    return (
        f"{seconds} s, Poisson arrivals; p50 {load.milliseconds(0.5):.1f}, p99.9 {load.milliseconds(0.999):.1f}, most "
        f"{load.milliseconds(1.0):.1f} ms; {len(load.feedback_statuses)} clicks, p50 {feedback[0]:.1f}, p99 "
        f"{feedback[1]:.1f} ms; {found.fallbacks} fallbacks, {load.retried} retried; server {each:.0f} us CPU a "
        f"request, {found.cpu_seconds / load.wall_seconds:.0%} of a core, {found.memory_mb:.0f} MB; client "
        f"{load.client_share:.0%} of a core, its own lateness p99 {quantile(load.late_seconds, 0.99) * 1e3:.1f} ms"
    )


def _values(found: _Run) -> dict[str, object]:
    load = found.load
    shares = (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
    return {
        "latency_ms": {str(share): load.milliseconds(share) for share in shares},
        "feedback_ms": {str(share): quantile(load.feedback_seconds, share) * 1e3 for share in shares},
        "late_ms": {str(share): quantile(load.late_seconds, share) * 1e3 for share in shares},
        "statuses": {str(status): load.statuses.count(status) for status in sorted(set(load.statuses))},
        "client_share": load.client_share,
        "server_cpu_seconds": found.cpu_seconds,
        "wall_seconds": load.wall_seconds,
    }
