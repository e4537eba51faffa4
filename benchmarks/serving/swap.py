"""The champion is replaced and each worker is told to stop in turn, under load: no request may fail."""

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import psutil

from benchmarks.serving import homes
from benchmarks.serving.client import Load, http, run
from benchmarks.serving.figures import Row
from benchmarks.serving.open_loop import arrivals, open_loop
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, gateway
from benchmarks.serving.sustained import follow_with_click
from infra.database import Database
from infra.rollouts import ModelReference, RolloutStore
from infra.rollouts import Plan as RolloutPlan

_WORKERS = 2
_RATE = 400.0
_SWAP_SECONDS, _STOP_SECONDS = 10.0, 15.0
_REPLACED_SECONDS = 60.0


@dataclass
class _Events:
    swaps: int = 0
    stops: int = 0


def measure(plan: Plan) -> list[Row]:
    """Send 100,000 requests while the champion changes every 10 s and a worker is stopped every 15 s."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "swap")
    database = home.database()
    total, rate = plan.size(100_000, 2_000), plan.size(int(_RATE), 100)
    with gateway(home.folder, workers=_WORKERS) as server:
        load, events = run(_under_load(home, database, server, plan, total=total, rate=float(rate)))
    database.close()
    everything = [*load.statuses, *load.feedback_statuses]
    statuses = {status: everything.count(status) for status in sorted(set(everything))}
    note = (
        f"{events.swaps} swaps, {events.stops} workers stopped with SIGTERM, {rate}/s with clicks; {load.retried} sent "
        f"again since their idle connection was closed; p99 {load.milliseconds(0.99):.0f} ms, most "
        f"{load.milliseconds(1.0):.0f} ms; statuses {statuses}"
    )
    done = events.swaps > 0 and events.stops > 0
    measured = f"{load.failed} failed of {len(everything)}"
    return [
        Row(
            f"hot swap, and SIGTERM of each of {_WORKERS} workers in turn, under load",
            f"0 failed of {total}",
            measured,
            load.failed == 0 and done,
            note,
        )
    ]


async def _under_load(
    home: homes.BenchHome, database: Database, server: Server, plan: Plan, *, total: int, rate: float
) -> tuple[Load, _Events]:
    bodies = [http("POST", "/v1/recommend", body) for body in home.bodies(seed=plan.seed)]
    due = arrivals(rate, 1.1 * total / rate + 5, rng=np.random.default_rng(plan.seed))[:total]
    events = _Events()
    factor = plan.size(10, 4) / 10
    tasks = [
        asyncio.create_task(_swap(home, database, events, every=_SWAP_SECONDS * factor)),
        asyncio.create_task(_stop(server, events, every=_STOP_SECONDS * factor)),
    ]
    load = await open_loop(server.port, bodies, due, follow=follow_with_click)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return load, events


async def _swap(home: homes.BenchHome, database: Database, events: _Events, *, every: float) -> None:
    models = [ModelReference(home.champion, 1), ModelReference(home.challenger, 2)]
    while True:
        await asyncio.sleep(every / 2)
        following = models[(events.swaps + 1) % 2]
        await asyncio.to_thread(_start, database, following, f"rollout-{events.swaps}")
        await asyncio.sleep(every / 2)
        await asyncio.to_thread(_promote, database, f"rollout-{events.swaps}")
        events.swaps += 1


def _start(database: Database, model: ModelReference, rollout_id: str) -> None:
    plan = RolloutPlan(rollout_id, model, steps=(0.5,), cause="a benchmark", salt=rollout_id)
    RolloutStore(database).start(plan, now=datetime.now(UTC), by="a benchmark")


def _promote(database: Database, rollout_id: str) -> None:
    store = RolloutStore(database)
    token = store.rollout(rollout_id).fencing
    store.promote(rollout_id, fencing=token, now=datetime.now(UTC), by="a benchmark", reason="a benchmark")


async def _stop(server: Server, events: _Events, *, every: float) -> None:
    """Stop the oldest worker, wait until it is gone and as many as before run, and go on with the next."""
    while True:
        await asyncio.sleep(every)
        oldest = min(_workers(server), key=lambda worker: worker.create_time())
        oldest.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _REPLACED_SECONDS
        while oldest in (running := _workers(server)) or len(running) < _WORKERS:
            if time.monotonic() > deadline:
                raise RuntimeError(f"worker {oldest.pid} was not replaced within {_REPLACED_SECONDS:.0f} s")
            await asyncio.sleep(0.1)
        events.stops += 1


def _workers(server: Server) -> list[psutil.Process]:
    first = psutil.Process(server.process.pid)
    return [child for child in first.children() if child.status() != psutil.STATUS_ZOMBIE]
