"""From the commit of a rollback to the last worker that no longer serves the challenger."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.serving import homes
from benchmarks.serving.client import run
from benchmarks.serving.figures import Row, quantile
from benchmarks.serving.fleet import Door, open_doors, seconds_until
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, gateway
from infra.rollouts import RolloutStore
from recmodels.assignment import Arm, arm_of

_LIMITS = {1: 1.0, 4: 5.0}
_SHARE = 0.5


def measure(plan: Plan) -> list[Row]:
    """Roll back again and again, with one worker and with four."""
    rows = []
    template = homes.prepare(plan, items=plan.size(50_000, 2_000))
    for workers, limit in _LIMITS.items():
        home = homes.copy(template, plan.work / f"rollback-{workers}")
        with gateway(home.folder, workers=workers) as server:
            seconds = run(_roll_back(home, server, workers=workers, times=plan.size(20, 2)))
        worst = max(seconds)
        rows.append(
            Row(
                f"rollback decided -> share 0, {workers} worker{'s' if workers > 1 else ''}",
                f"<= {limit:g} s",
                f"{worst * 1e3:.0f} ms",
                worst <= limit,
                f"worst of {len(seconds)}; median {quantile(seconds, 0.5) * 1e3:.0f} ms",
                {"seconds": seconds},
            )
        )
    return rows


async def _roll_back(home: homes.BenchHome, server: Server, *, workers: int, times: int) -> list[float]:
    database = home.database()
    rollouts = RolloutStore(database)
    doors = await open_doors(server, workers=workers)
    seconds = []
    for number in range(times):
        rollout_id = f"rollout-{number}"
        home.challenge(database, share=_SHARE, rollout_id=rollout_id)
        user = _canary_user(rollout_id)
        await _until(doors, user, rollout_id)
        rollouts.roll_back(rollout_id, fencing=None, now=datetime.now(UTC), by="a benchmark", reason="a benchmark")
        since = time.perf_counter()
        seconds.append(await seconds_until(doors, user, _is_out, since=since))
        await asyncio.sleep(0.137)  # the next one falls on another moment of the workers' polls
    database.close()
    return seconds


def _canary_user(salt: str) -> str:
    return next(
        name for number in range(1000) if arm_of(name := f"user-{number}", salt=salt, share=_SHARE) is Arm.CANARY
    )


async def _until(doors: list[Door], user: str, rollout_id: str) -> None:
    def is_in(answer: dict[str, Any]) -> bool:
        return bool(answer["arm"] == Arm.CANARY and answer["rollout_id"] == rollout_id)

    await seconds_until(doors, user, is_in, since=time.perf_counter())


def _is_out(answer: dict[str, Any]) -> bool:
    return bool(answer["arm"] != Arm.CANARY)
