"""The platform of the closed loop: a home, a Prefect server, and the gateway with a clock that the loop turns."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import uvicorn

from benchmarks.loop_world import FeedVisit, People
from infra.database import Database
from infra.serving.app import create_app
from infra.settings import Settings

_CONNECTIONS = 8
_START_SECONDS = 180.0
_CANARY = "canary"


@dataclass
class Clock:
    """The time in the gateway.

    Attributes:
        moment: What time it is.
    """

    moment: datetime

    def __call__(self) -> datetime:
        """Return the time."""
        return self.moment


@dataclass
class Shown:
    """What the champion showed in a day, and what was clicked of it; a canary's answers are not in it.

    Attributes:
        impressions: Items shown.
        clicks: Items clicked.
        canary_impressions: Items that the challenger showed.
        failed: Answers other than 200.
    """

    impressions: int = 0
    clicks: int = 0
    canary_impressions: int = 0
    failed: int = 0
    _events: list[dict[str, object]] = field(default_factory=list, repr=False)

    @property
    def rate(self) -> float:
        """Clicks per impression."""
        return self.clicks / max(self.impressions, 1)


def prepare(root: Path) -> Settings:
    """Give this process the environment of a new home, before any library reads it."""
    ports = {f"EVERFEED_{name}_PORT": str(_free_port()) for name in ("GATEWAY", "PREFECT", "MLFLOW", "CONSOLE")}
    os.environ.update({**ports, "EVERFEED_HOME": str(root)})
    settings = Settings()
    os.environ.update({**settings.environment(), "PREFECT_LOGGING_LEVEL": "ERROR"})
    settings.root.mkdir(parents=True, exist_ok=True)
    return settings


@contextmanager
def prefect_up(settings: Settings) -> Iterator[None]:
    """Hold up a Prefect server; nothing serves deployments, so that a retrain runs where it is decided."""
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    from flows.services import stack_services
    from infra.supervisor import Stack

    prefect, *_ = stack_services(settings)
    stack = Stack(settings, (prefect,))
    quiet = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,  # its thread costs every flow a second
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    try:
        stack.start()
        stack.wait_ready(timeout_seconds=_START_SECONDS)
        with temporary_settings(quiet):
            yield
    finally:
        stack.stop()


@contextmanager
def gateway_up(settings: Settings, database: Database, clock: Clock) -> Iterator[None]:
    """Run the gateway at the address of the settings, in a thread, with a clock of its own."""
    app = create_app(
        database,
        bundles=settings.bundles,
        token=settings.token(),
        user_secret=settings.user_secret(),
        host=settings.host,
        clock=clock,
    )
    config = uvicorn.Config(
        app, host=settings.host, port=settings.gateway_port, log_level="error", access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    try:
        with httpx.Client(
            base_url=settings.gateway_url, trust_env=False, transport=httpx.HTTPTransport(retries=20)
        ) as client:
            assert client.get("/healthz").status_code == httpx.codes.OK, "the gateway answers"
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=60)


def send(settings: Settings, people: People, clock: Clock, visits: Sequence[FeedVisit], shown: Shown) -> None:
    """Let every visit ask the gateway at its time and report its clicks; the app sends these together at the end."""
    asyncio.run(_send(settings, people, clock, visits, shown))


async def _send(settings: Settings, people: People, clock: Clock, visits: Sequence[FeedVisit], shown: Shown) -> None:
    queue = iter(visits)
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    async with httpx.AsyncClient(base_url=settings.gateway_url, limits=limits, timeout=30.0, trust_env=False) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(_work(client, people, clock, queue, shown))
        events, shown._events = shown._events, []
        for start in range(0, len(events), 100):
            answer = await client.post("/v1/feedback", json={"events": events[start : start + 100]})
            receipt = answer.raise_for_status().json()
            assert not receipt["rejected"], receipt["rejected"][:1]


async def _work(
    client: httpx.AsyncClient, people: People, clock: Clock, queue: Iterator[FeedVisit], shown: Shown
) -> None:
    for visit in queue:
        clock.moment = max(clock.moment, visit.at)
        history = [{"item_id": item, "timestamp": moment} for item, moment in visit.history]
        body = {"user": f"u{visit.user:06d}", "k": people.sizes.slate, "surface": "video", "history": history}
        response = await client.post("/v1/recommend", content=json.dumps(body))
        if response.status_code != httpx.codes.OK:
            shown.failed += 1
            continue
        answer = response.json()
        item_ids = [one["item_id"] for one in answer["items"]]
        clicked = people.clicks(visit, item_ids)
        if answer["arm"] == _CANARY:
            shown.canary_impressions += len(item_ids)
        else:
            shown.impressions += len(item_ids)
            shown.clicks += len(clicked)
        shown._events += [
            {
                "event_id": f"{answer['request_id']}-{item}",
                "request_id": answer["request_id"],
                "item_id": item,
                "kind": "clicked",
                "timestamp": clock.moment.isoformat(),
            }
            for item in clicked
        ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
