"""The control room over a home with a year behind it: `python -m benchmarks.console [--rounds 200] [--json]`.

Bytes and time of every page, answered by the application itself over ASGI, without a network: wall clock as a browser
on this machine waits, and CPU of this process. The home is made of real bundles and stores: a rollout every other day,
looks every five minutes of the active one, a thousand incidents with their alerts, figures of sixty days, 5,000 audit
records, 20,000 requests, takedowns. The gateway is a real one; Prefect and MLflow are away, as after a crash.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from pydantic import SecretStr

from benchmarks.console_home import USER, fill
from benchmarks.table import Figure, report
from flows.control_room import desk
from infra.console.app import create_app
from infra.database import open_database
from infra.serving.app import create_app as create_gateway
from infra.settings import Settings
from tests.infra.gateway_home import TOKEN, serve

SEED = 20261122
MOST_BYTES, MOST_SECONDS = 200_000, 0.3
PAGES = {
    "control room": "/",
    "rollouts": "/rollouts",
    "active rollout": "/rollouts/rollout-182",
    "drift": "/drift",
    "incidents": "/incidents",
    "incident": "/incidents/incident-0999",
    "quarantine": "/quarantine",
    "user": f"/users?user={USER}",
    "audit log": "/audit",
    "sign in": "/sign-in",
    "question": "/act/promote?rollout=rollout-182",
}


@dataclass(frozen=True)
class Measured:
    """One page: its bytes, and the seconds of each round."""

    num_bytes: int
    wall: np.ndarray
    cpu: np.ndarray


def main() -> int:
    """Measure every page and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _home(Path(folder)) as app:
        found = asyncio.run(_measure(app, given.rounds))
    return report([figure for name, one in found.items() for figure in _figures(name, one)], as_json=given.json)


@contextmanager
def _home(folder: Path) -> Iterator[object]:
    settings = Settings(home=folder, write_token=SecretStr(TOKEN), prefect_port=1, mlflow_port=1)
    database = open_database(settings.database)
    began = time.process_time()
    fill(settings, database, rng=random.Random(SEED), now=datetime.now(UTC))
    sys.stderr.write(f"made a year of history in {time.process_time() - began:.1f} s of CPU\n")
    gateway = create_gateway(database, bundles=settings.bundles, token=TOKEN, user_secret=settings.user_secret())
    with serve(gateway) as url:
        known = settings.model_copy(update={"gateway_port": int(url.rpartition(":")[2])})
        yield create_app(known, database, desk(known, database))
    database.close()


async def _measure(app: object, rounds: int) -> dict[str, Measured]:
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    origin = "http://127.0.0.1"
    async with httpx.AsyncClient(transport=transport, base_url=origin, headers={"origin": origin}) as client:
        signed = await client.post("/sign-in", data={"token": TOKEN, "next": "/"})
        assert signed.status_code == 303, signed.text
        return {name: await _page(client, path, rounds) for name, path in PAGES.items()}


async def _page(client: httpx.AsyncClient, path: str, rounds: int) -> Measured:
    wall, cpu = np.zeros((2, rounds))
    size = 0
    for number in range(-3, rounds):
        began = time.perf_counter(), time.process_time()
        answer = await client.get(path)
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[-400:]}"
        size = max(size, len(answer.content))
        if number >= 0:
            wall[number], cpu[number] = took
    return Measured(size, wall, cpu)


def _figures(name: str, one: Measured) -> Iterator[Figure]:
    p50, p99 = np.quantile(one.wall, [0.5, 0.99])
    cpu50, cpu99 = np.quantile(one.cpu, [0.5, 0.99])
    yield Figure(f"{name}: bytes", "<= 200,000", f"{one.num_bytes:,}", one.num_bytes <= MOST_BYTES, "not compressed")
    yield Figure(
        f"{name}: ms",
        "p99 <= 300 (CPU)",
        f"CPU p50 {cpu50 * 1e3:.0f}, p99 {cpu99 * 1e3:.0f}; wall p50 {p50 * 1e3:.0f}, p99 {p99 * 1e3:.0f}",
        bool(cpu99 <= MOST_SECONDS),
        f"{len(one.wall)} rounds",
    )


if __name__ == "__main__":
    raise SystemExit(main())
