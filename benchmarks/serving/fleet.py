"""One connection to each worker behind the gateway's port, found by who holds its other end."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.client import Connection, connect, http
from benchmarks.serving.servers import Server, workers_by_port

_MOST_TRIES = 400
_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Door:
    """A connection to one worker."""

    worker: int
    connection: Connection

    async def ask(self, path: str, body: dict[str, Any], *, headers: str = "") -> dict[str, Any]:
        """Send JSON and return the JSON that is answered.

        Raises:
            RuntimeError: The answer was not 200.
        """
        request = http("POST", path, json.dumps(body).encode(), headers=headers)
        status, answer = await self.connection.ask(request)
        if status != 200:
            raise RuntimeError(f"{path} was answered with {status}: {answer[:300]!r}")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed

    async def recommend(self, user: str, **fields: Any) -> dict[str, Any]:
        """Ask for a list."""
        return await self.ask("/v1/recommend", {"user": user, "k": 10, **fields})


async def open_doors(server: Server, *, workers: int) -> list[Door]:
    """Return one connection to each worker; connections go to whichever worker takes them first.

    Raises:
        RuntimeError: After 400 connections a worker has taken none.
    """
    found: dict[int, Door] = {}
    spare: list[Connection] = []
    while len(found) < workers:
        if len(spare) >= _MOST_TRIES:
            raise RuntimeError(f"{len(found)} of {workers} workers took any of {_MOST_TRIES} connections")
        batch = await asyncio.gather(*(connect(server.port) for _ in range(8)))
        await asyncio.gather(*(connection.ask(http("GET", "/healthz")) for connection in batch))
        owners = workers_by_port(server, [connection.port for connection in batch])
        for connection in batch:
            worker = owners.get(connection.port)
            if worker is not None and worker not in found:
                found[worker] = Door(worker, connection)
            else:
                spare.append(connection)
    for connection in spare:
        connection.close()
    return list(found.values())


async def seconds_until(
    doors: list[Door], user: str, is_there: Callable[[dict[str, Any]], bool], *, since: float, patience: float = 30.0
) -> float:
    """Ask every worker for a user's list again and again; return when the last one first answered as wanted.

    Args:
        doors: The workers.
        user: Whose list.
        is_there: Whether an answer is as wanted.
        since: Moment of `time.perf_counter` from which seconds count.
        patience: How long to ask.

    Raises:
        TimeoutError: A worker did not get there in time.
    """

    async def watch(door: Door) -> float:
        while not is_there(await door.recommend(user)):
            await asyncio.sleep(_POLL_SECONDS)
        return time.perf_counter() - since

    return max(await asyncio.wait_for(asyncio.gather(*(watch(door) for door in doors)), patience))
