"""Several real workers on one socket, over one database: stopped, killed and limited while they answer."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from sqlalchemy import select

from infra.database import Database, open_database
from infra.event_records import outcomes
from tests.infra.gateway_home import Home
from tests.infra.serving.keepalive import Client, Running, gateway, on_schedule
from tests.postgresql import Server

HISTORY = [{"item_id": "film-10", "timestamp": 1_000_000}]


def wish(number: int) -> dict[str, Any]:
    return {"user": f"user-{number % 50}", "history": HISTORY, "k": 5}


class InBackground:
    """Does something to the gateway while the client goes on."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work)

    def __enter__(self) -> Callable[[], bool]:
        self._thread.start()
        return lambda: not self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def terminate_in_turn(running: Running) -> None:
    for turn, worker in enumerate(running.workers):
        os.kill(worker, signal.SIGTERM)
        running.wait_ready(3 + turn)


@pytest.mark.long
def test_no_request_fails_when_each_worker_is_told_to_stop_in_turn(home: Home) -> None:
    home.crown()
    with gateway(home.folder, workers=2) as running:
        before = running.workers

        async def load() -> list[int]:
            client = Client(running.port)
            with InBackground(lambda: terminate_in_turn(running)) as is_over:
                statuses = await on_schedule(client, rate=100, until=is_over, message=wish)
            await client.close()
            return statuses

        statuses = Counter(asyncio.run(load()))

        assert statuses[200] > 150
        assert set(statuses) == {200}
        time.sleep(1.2)  # a worker tells the others each second
        counted = httpx.get(f"{running.url}/metrics", trust_env=False).text
        assert f'everfeed_http_requests_total{{path="/v1/recommend",status="200"}} {statuses[200]}\n' in counted
        assert "everfeed_workers 2\n" in counted
    assert running.parent.returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in before)
    assert "Traceback" not in running.log.read_text()


@pytest.mark.long
def test_no_acknowledged_feedback_is_lost_or_doubled_when_workers_are_killed(home: Home) -> None:
    home.crown()
    with gateway(home.folder, workers=2) as running:
        acknowledged = feedback_while(running, kill_in_turn)
    assert_kept_once(home.database, acknowledged)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["workers are killed", "the server crashes"])
def test_no_acknowledged_feedback_is_lost_or_doubled_on_postgresql(
    tmp_path: Path, postgresql_server: Server, postgresql_url: str, what: str
) -> None:
    def crash_and_start(running: Running) -> None:
        time.sleep(1)
        postgresql_server.stop("immediate")
        time.sleep(1)
        postgresql_server.start()
        time.sleep(3)

    database = open_database(postgresql_url)
    Home(tmp_path, database).crown()
    with gateway(tmp_path, workers=2, EVERFEED_DATABASE_URL=postgresql_url) as running:
        acknowledged = feedback_while(running, kill_in_turn if what == "workers are killed" else crash_and_start)
        assert "s:word" not in running.log.read_text()
    assert_kept_once(database, acknowledged)
    database.close()


def kill_in_turn(running: Running) -> None:
    for turn in range(2):
        os.kill(running.workers[0], signal.SIGKILL)
        running.wait_ready(3 + turn)


def assert_kept_once(database: Database, acknowledged: list[str]) -> None:
    with database.read() as connection:
        kept = Counter(connection.execute(select(outcomes.c.event_id)).scalars())
    assert len(acknowledged) > 50
    assert set(acknowledged) <= set(kept)
    assert set(kept.values()) == {1}


def feedback_while(running: Running, work: Callable[[Running], None]) -> list[str]:
    """Send feedback from eight clients while something happens; return the events that were acknowledged."""
    acknowledged: list[str] = []

    async def visit(client: Client, number: int, is_over: Callable[[], bool]) -> None:
        step = 0
        while not is_over():
            step += 1
            await asyncio.sleep(0.02)
            event: dict[str, Any] = {"event_id": f"event-{number}-{step}", "kind": "clicked"}
            try:
                _, answer = await client.post("/v1/recommend", wish(number))
                served = msgspec.json.decode(answer)
                event |= {"request_id": served["request_id"], "item_id": served["items"][0]["item_id"]}
            except (OSError, asyncio.IncompleteReadError, KeyError):
                continue
            while not await is_kept(client, event):
                await asyncio.sleep(0.02)

    async def is_kept(client: Client, event: dict[str, Any]) -> bool:
        """Send an event; send it again, as clients do, where no answer came or the store is away."""
        try:
            status, body = await client.post("/v1/feedback", {"events": [event]})
        except (OSError, asyncio.IncompleteReadError):
            return False
        receipt = msgspec.json.decode(body)
        if status == 200 and receipt["accepted"] + receipt["duplicates"] == 1:
            acknowledged.append(event["event_id"])
        return status == 200  # an answer that a kill took before it was logged takes no feedback, and says so

    async def load() -> None:
        client = Client(running.port)
        with InBackground(lambda: work(running)) as is_over:
            await asyncio.gather(*(visit(client, number, is_over) for number in range(8)))
        await client.close()

    asyncio.run(load())
    return acknowledged


def test_workers_share_one_limit_a_client_and_say_who_answers(home: Home) -> None:
    with gateway(home.folder, workers=2, EVERFEED_GATEWAY_RATE_PER_SECOND="0.1") as running:
        workers, asked = set(running.workers), Counter[int]()
        pids = set()
        for _ in range(10):
            with httpx.Client(
                base_url=running.url, trust_env=False
            ) as client:  # a new connection: any worker may take it
                answer = client.post("/v1/recommend", json=wish(0))
                asked[answer.status_code] += 1
                pids.add(client.get("/v1/status").json()["pid"])  # never limited

    assert asked == {200: 1, 429: 9}  # one in ten seconds, whoever is asked
    assert int(answer.headers["Retry-After"]) <= 10
    assert pids <= workers
