"""The ASGI application: stores and endpoints put together, threads started and drained with it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from starlette.applications import Starlette

from infra.access import AccessTokens
from infra.audit_log import AuditLog
from infra.database import Database
from infra.events import EventStore
from infra.histories import HistoryStore
from infra.rollouts import RolloutStore
from infra.segments import SegmentStore
from infra.serving.admin import AdminDesk
from infra.serving.clicks import Clicks
from infra.serving.edge import Edge
from infra.serving.endpoints import Endpoints
from infra.serving.eventlog import EventLog
from infra.serving.figures import SharedFigures
from infra.serving.gateway import Gateway, utc_now
from infra.serving.keyring import Keyring
from infra.serving.limits import Limits, RateLimiter
from infra.serving.recollection import RecordedLists
from infra.serving.security import HeaderCheck, allowed_hosts
from infra.serving.slots import Garage
from infra.serving.warmup import RecordedHistories
from infra.serving.watcher import View, Watcher
from infra.shadows import ShadowStore
from infra.takedowns import TakedownStore
from infra.tombstones import Tombstones
from recmodels.safety import SafetyPolicy


def create_app(
    database: Database,
    *,
    bundles: Path,
    token: str,
    user_secret: bytes,
    host: str = "127.0.0.1",
    limiter: RateLimiter | Limits | None = None,
    shared: SharedFigures | None = None,
    safety: SafetyPolicy | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Edge:
    """Return the gateway.

    Args:
        database: An open database; the caller closes it after the application ended.
        bundles: Folder of the bundles.
        token: The write token of the home; tokens of the database come on top.
        user_secret: Key that user ids are hashed with.
        host: Address that the service listens on; decides which Host headers are answered.
        limiter: Decides whether a client sent too many requests; None for no limit.
        shared: Where the other workers' figures are; None where there is one process alone.
        safety: Terms under which labelled items are shown; None shows all but those labelled ``blocked``.
        clock: Tells the time of answers and feedback.
    """
    events, histories, takedowns = EventStore(database), HistoryStore(database), TakedownStore(database)
    log = EventLog(events, Clicks(histories))
    segments = SegmentStore(database)
    gateway = Gateway(histories, log, ShadowStore(database), user_secret=user_secret, clock=clock)
    keyring = Keyring(AccessTokens(database, master=token))
    desk = AdminDesk(takedowns, segments, AuditLog(database), keyring)
    endpoints = Endpoints(gateway, desk, keyring, version=service_version(), shared=shared)

    def publish(view: View) -> None:
        gateway.view = view

    recorded = RecordedHistories(events, histories)
    garage = Garage(bundles, recorded.read, safety=safety, shown=RecordedLists(events).newest)
    rollouts, tombstones = RolloutStore(database), Tombstones(database)
    watcher = Watcher(rollouts, takedowns, segments, tombstones, garage=garage, publish=publish)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        log.start()
        keyring.start()
        watcher.start()
        gateway.shadow.start()
        try:
            yield
        finally:
            watcher.stop()
            keyring.stop()
            gateway.shadow.stop()
            log.stop()

    return Edge(
        endpoints.routes(),
        lifecycle=Starlette(lifespan=lifespan),
        admission=endpoints.admission,
        headers=HeaderCheck(hosts=allowed_hosts(host)),
        instruments=gateway.instruments,
        publish=endpoints.exposition.publish,
        limiter=limiter,
    )


def service_version() -> str:
    """Return the version of the installed package; of a bare checkout, `0`."""
    try:
        return version("everfeed")
    except PackageNotFoundError:
        return "0"
