"""The ASGI application: stores and endpoints put together, threads started and drained with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from infra.database import Database
from infra.events import EventStore
from infra.histories import HistoryStore
from infra.rollouts import RolloutStore
from infra.serving.clicks import Clicks
from infra.serving.endpoints import Endpoints
from infra.serving.eventlog import EventLog
from infra.serving.gateway import Gateway
from infra.serving.problems import answer_bug, answer_http_exception
from infra.serving.security import Guard, allowed_hosts
from infra.serving.slots import Garage
from infra.serving.watcher import View, Watcher
from infra.takedowns import TakedownStore


def create_app(
    database: Database, *, bundles: Path, token: str, user_secret: bytes, host: str = "127.0.0.1"
) -> Starlette:
    """Return the gateway.

    Args:
        database: An open database; the caller closes it after the application ended.
        bundles: Folder of the bundles.
        token: What a caller must know to change state.
        user_secret: Key that user ids are hashed with.
        host: Address that the service listens on; decides which Host headers are answered.
    """
    events, histories, takedowns = EventStore(database), HistoryStore(database), TakedownStore(database)
    log = EventLog(events, Clicks(events, histories))
    gateway = Gateway(histories, log, user_secret=user_secret)
    endpoints = Endpoints(gateway, takedowns, token=token, version=service_version())

    def publish(view: View) -> None:
        gateway.view = view

    watcher = Watcher(RolloutStore(database), takedowns, garage=Garage(bundles), publish=publish)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        log.start()
        watcher.start()
        try:
            yield
        finally:
            endpoints.is_draining = True
            watcher.stop()
            log.stop()

    return Starlette(
        routes=endpoints.routes(),
        middleware=[Middleware(Guard, hosts=allowed_hosts(host))],
        exception_handlers={HTTPException: answer_http_exception, Exception: answer_bug},
        lifespan=lifespan,
    )


def service_version() -> str:
    """Return the version of the installed package; of a bare checkout, `0`."""
    try:
        return version("everfeed")
    except PackageNotFoundError:
        return "0"
