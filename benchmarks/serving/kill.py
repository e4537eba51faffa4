"""SIGKILL of the gateway, again and again under load: what it acknowledged must be there, once.

Clients do what real ones do: what was not acknowledged is sent again, under the same event id, until it is.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import psutil
from sqlalchemy import func, select

from benchmarks.serving import homes
from benchmarks.serving.client import LOST, Connection, connect, http, run
from benchmarks.serving.feedback import FEEDBACK_PATH, click, first_item, request_id
from benchmarks.serving.figures import Row
from benchmarks.serving.plan import Plan, say
from benchmarks.serving.servers import Server, free_port, start_gateway
from infra.database import Database
from infra.event_records import outcomes, requests

_CLIENTS = 16
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0


@dataclass
class _Ledger:
    """What clients were told.

    Attributes:
        acknowledged: Event ids.
        refused: Reasons for which events were not taken.
        answered: Request ids of lists.
        retries: Requests that were sent again.
    """

    acknowledged: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    retries: int = 0
    is_over: bool = False


def measure(plan: Plan) -> list[Row]:
    """Kill one worker, or the gateway with all of its processes, in turn, 100 times."""
    home = homes.copy(homes.prepare(plan, items=plan.size(50_000, 2_000)), plan.work / "kill")
    kills, port = plan.size(100, 4), free_port()
    ledger = run(_kill_under_load(home, port, kills=kills, seed=plan.seed))
    database = home.database()
    rows = _audit(database, ledger, kills=kills)
    database.close()
    return rows


def _audit(database: Database, ledger: _Ledger, *, kills: int) -> list[Row]:
    with database.read() as connection:
        times = Counter(connection.execute(select(outcomes.c.event_id)).scalars())
        known = set(connection.execute(select(requests.c.request_id)).scalars())
        triples = (outcomes.c.request_id, outcomes.c.item_id, outcomes.c.kind)
        counted = select(*triples).where(outcomes.c.is_first).group_by(*triples).having(func.count() > 1)
        counted_twice = len(connection.execute(counted).all())
    lost = sum(times[event_id] == 0 for event_id in ledger.acknowledged)
    doubled = sum(number > 1 for number in times.values()) + counted_twice
    unlogged = len(ledger.answered - known)
    note = (
        f"{kills} kills, every second one of all processes at once; {len(ledger.acknowledged)} events acknowledged, "
        f"{ledger.retries} requests sent again; refused: {dict(ledger.refused) or 'none'}"
    )
    return [
        Row(
            f"SIGKILL of the gateway, {kills} times under load",
            "0 acknowledged events lost, 0 doubled",
            f"{lost} lost, {doubled} doubled",
            lost == doubled == 0 and bool(ledger.acknowledged),
            note,
        ),
        Row(
            "lists whose row died with the gateway",
            "-",
            f"{unlogged} of {len(ledger.answered)}",
            None,
            f"{unlogged / kills:.1f} a kill: the loss window, at {_CLIENTS} clients as fast as they are answered",
        ),
    ]


async def _kill_under_load(home: homes.BenchHome, port: int, *, kills: int, seed: int) -> _Ledger:
    ledger, numbers, rng = _Ledger(), count(), random.Random(seed)
    server = await asyncio.to_thread(start_gateway, home.folder, port=port)
    clients = [asyncio.create_task(_client(home, port, ledger, numbers, seed=seed + lane)) for lane in range(_CLIENTS)]
    try:
        for number in range(kills):
            await _until_answered(ledger)
            await asyncio.sleep(rng.uniform(0.2, 1.2))
            if number % 2:
                server.kill()
                server = await asyncio.to_thread(start_gateway, home.folder, port=port)
            else:
                _kill_worker(server)
            if number % 10 == 9:
                say(f"{number + 1} of {kills} kills, {len(ledger.acknowledged)} events acknowledged")
        await _until_answered(ledger)
        ledger.is_over = True
        await asyncio.gather(*clients)
    finally:
        for client in clients:
            client.cancel()
        server.stop()
    return ledger


async def _until_answered(ledger: _Ledger) -> None:
    before = len(ledger.acknowledged)
    while len(ledger.acknowledged) < before + _CLIENTS:
        await asyncio.sleep(_PAUSE_SECONDS)


def _kill_worker(server: Server) -> None:
    first = psutil.Process(server.process.pid)
    (first.children() or [first])[0].send_signal(signal.SIGKILL)


async def _client(home: homes.BenchHome, port: int, ledger: _Ledger, numbers: Iterator[int], *, seed: int) -> None:
    """Ask for a list, click on its first item, and so on."""
    bodies = home.bodies(seed=seed, count=500)
    line = _Line(port, ledger)
    while not ledger.is_over:
        number = next(numbers)
        status, body = await line.ask(http("POST", "/v1/recommend", bodies[number % len(bodies)]))
        if status != 200:
            ledger.refused[f"recommend {status}"] += 1
            continue
        answered, event_id = request_id(body), f"event-{number}"
        ledger.answered.add(answered)
        status, body = await line.ask(http("POST", FEEDBACK_PATH, click(event_id, answered, first_item(body))))
        if status == 200 and b'"rejected":[]' in body:
            ledger.acknowledged.add(event_id)
        else:
            ledger.refused["feedback on a list whose row was lost" if status == 200 else f"feedback {status}"] += 1
    line.close()


class _Line:
    """One client's connection, made anew where it broke; a request is repeated until it is answered."""

    def __init__(self, port: int, ledger: _Ledger) -> None:
        self._port = port
        self._ledger = ledger
        self._connection: Connection | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send until there is an answer other than 503."""
        while True:
            status, body = await self._try(request)
            if status not in (LOST, 503):
                return status, body
            self._ledger.retries += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, request: bytes) -> tuple[int, bytes]:
        if self._connection is None or not self._connection.is_open:
            try:
                self._connection = await connect(self._port)
            except (OSError, TimeoutError):
                return LOST, b""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._connection.ask(request), _PATIENCE_SECONDS)
        self.close()
        return LOST, b""

    def close(self) -> None:
        """Close what is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
