"""From a click that one worker has acknowledged to the first answer of another one that knows of it."""

import time

from benchmarks.serving import homes
from benchmarks.serving.client import run
from benchmarks.serving.figures import Row, quantile
from benchmarks.serving.fleet import open_doors, seconds_until
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import Server, gateway

_LIMIT_SECONDS = 0.2
_WORKERS = 2


def measure(plan: Plan) -> list[Row]:
    """Click through one worker, and ask the other until the clicked item is in the history and so out of the list."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "history")
    with gateway(home.folder, workers=_WORKERS) as server:
        seconds = run(_click(server, times=plan.size(400, 10)))
    worst = max(seconds)
    return [
        Row(
            "a click through worker A changes the answer of worker B",
            f"<= {_LIMIT_SECONDS * 1e3:.0f} ms",
            f"{worst * 1e3:.0f} ms",
            worst <= _LIMIT_SECONDS,
            f"from its acknowledgement; worst of {len(seconds)}; median {quantile(seconds, 0.5) * 1e3:.1f} ms",
            {"seconds": seconds},
        )
    ]


async def _click(server: Server, *, times: int) -> list[float]:
    doors = await open_doors(server, workers=_WORKERS)
    seconds = []
    for number in range(times):
        user = f"user-{number % 250}"
        here, there = doors[number % 2], doors[(number + 1) % 2]
        answer = await here.recommend(user)
        item = answer["items"][0]["item_id"]
        event = {"event_id": f"click-{number}", "request_id": answer["request_id"], "item_id": item, "kind": "clicked"}
        receipt = await here.ask("/v1/feedback", {"events": [event]})
        since = time.perf_counter()
        if receipt["accepted"] != 1:
            raise RuntimeError(f"the click was not accepted: {receipt}")

        def is_known(answer: dict[str, list[dict[str, str]]], *, clicked: str = item) -> bool:
            return all(row["item_id"] != clicked for row in answer["items"])

        seconds.append(await seconds_until([there], user, is_known, since=since))
    return seconds
