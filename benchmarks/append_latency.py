"""How long events take to be durable, on SQLite and on PostgreSQL here: `python -m benchmarks.append_latency`.

Each append is what the gateway's group commit does: answers with ten items, then a click for each, in one transaction.
Every commit waits for the disk on both. Writers are threads, each with connections of its own.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from infra.database import Database, open_database
from infra.events import EventStore, Outcome, ServedRequest, user_key
from infra.histories import HistoryStore
from tests.postgresql import find_programs, server

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ITEMS = tuple(f"film-{number:03}" for number in range(10))


def main() -> None:
    """Print a line of JSON a database and number of writers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=300, help="a writer")
    parser.add_argument("--group", type=int, default=8, help="answers, and as many clicks, in one transaction")
    options = parser.parse_args()
    for name in ("sqlite", "postgresql"):
        with opened(name) as url:
            for writers in (1, 2):
                print(
                    json.dumps({"database": name} | measure(url, writers, options.appends, options.group)), flush=True
                )


@contextmanager
def opened(name: str) -> Iterator[str]:
    """Yield the URL of a new database."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'everfeed.db'}"
        return
    programs = find_programs()
    assert programs is not None, "PostgreSQL's server is not installed"
    with server(programs, is_durable=True) as started:
        yield started.url()


def measure(url: str, writers: int, appends: int, group: int) -> dict[str, float]:
    """Return quantiles of an append in milliseconds, and the CPU that it cost this process."""
    databases = [open_database(url) for _ in range(writers)]
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(writers) as pool:
        found = pool.map(lambda pair: write(pair[1], f"{writers}-{pair[0]}", appends, group), enumerate(databases))
        times = np.concatenate(list(found)) * 1000
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for database in databases:
        database.close()
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return {
        "writers": writers,
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "events_per_second": round(2 * group * len(times) / seconds),
        "cpu_ms_an_append": round(cpu / len(times) * 1000, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def write(database: Database, name: str, appends: int, group: int) -> list[float]:
    """Append, and return how long each took, in seconds."""
    events, histories, times = EventStore(database), HistoryStore(database), []
    for turn in range(appends + 20):
        ids = [f"{name}-{turn}-{number}" for number in range(group)]
        asked = [answer(one, f"user-{turn % 50}-{number}") for number, one in enumerate(ids)]
        clicks = [[Outcome(f"click-{one}", one, ITEMS[0], "clicked", 1.0, NOW)] for one in ids]
        began = time.perf_counter()
        events.append_group(asked, clicks)
        times.append(time.perf_counter() - began)
        histories.last(asked[0].user_key, limit=50)
    return times[20:]  # the first ones fill caches


def answer(request_id: str, user: str) -> ServedRequest:
    """Return an answer of ten items."""
    return ServedRequest(
        request_id=request_id,
        timestamp=NOW,
        user_key=user_key(user, b"a secret"),
        user_id=user,
        surface="video",
        model_version="1",
        arm="rest",
        item_ids=ITEMS,
        scores=(0.5,) * len(ITEMS),
        propensities=(1.0,) * len(ITEMS),
        num_requested=len(ITEMS),
        latency_seconds=0.01,
    )


if __name__ == "__main__":
    main()
