"""From a takedown to the last worker that no longer shows the item."""

import time

from benchmarks.serving import homes
from benchmarks.serving.client import run
from benchmarks.serving.figures import Row, quantile
from benchmarks.serving.fleet import open_doors, seconds_until
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, gateway

_LIMIT_SECONDS = 5.0
_WORKERS = 4


def measure(plan: Plan) -> list[Row]:
    """Take down the first item of one user after the other, and ask all workers until it is gone."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "takedown")
    workers = plan.size(_WORKERS, 2)
    with gateway(home.folder, workers=workers) as server:
        seconds = run(_take_down(home, server, workers=workers, times=plan.size(40, 4)))
    worst = max(seconds)
    return [
        Row(
            f"takedown, from its answer to all of {workers} workers",
            f"<= {_LIMIT_SECONDS:.0f} s",
            f"{worst * 1e3:.0f} ms",
            worst <= _LIMIT_SECONDS,
            f"worst of {len(seconds)}; median {quantile(seconds, 0.5) * 1e3:.0f} ms",
            {"seconds": seconds},
        )
    ]


async def _take_down(home: homes.BenchHome, server: Server, *, workers: int, times: int) -> list[float]:
    doors = await open_doors(server, workers=workers)
    token = f"Authorization: Bearer {home.settings.token()}\r\n"
    seconds = []
    for number in range(times):
        user = f"user-{number}"
        item = (await doors[0].recommend(user))["items"][0]["item_id"]
        order = {"item_ids": [item], "reason": "a benchmark"}
        await doors[number % workers].ask("/v1/admin/takedown", order, headers=token)
        since = time.perf_counter()

        def is_gone(answer: dict[str, list[dict[str, str]]], *, gone: str = item) -> bool:
            return all(row["item_id"] != gone for row in answer["items"])

        seconds.append(await seconds_until(doors, user, is_gone, since=since))
    return seconds
