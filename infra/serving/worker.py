"""One worker of the gateway: opens the store, and serves on the socket that its parent holds."""

import logging
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from infra.database import open_database
from infra.serving import figures, limits
from infra.serving.app import create_app
from infra.serving.figures import SharedFigures
from infra.serving.footprint import keep_small, settle
from infra.serving.limits import Limits
from infra.serving.parent import UNUSABLE
from infra.serving.server import DrainingServer
from infra.settings import Settings
from recmodels.errors import EverfeedError

_DRAIN_SECONDS = 3
"""How long requests may still run once silent connections are closed."""

_KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than load balancers (60 s) and clients keep theirs, so that it is the
client who ends it; where the server does, a request may be on its way."""

_SWITCH_SECONDS = 0.0005
"""How soon the event loop hands over to the writing thread; with the usual 5 ms a commit takes 50 ms."""


def main() -> int:
    """Run as `python -m infra.serving.worker <listening socket> <memory> <place> <lifeline> <news>`.

    Returns:
        The exit code: 0 after a drain, 2 where the settings or the store cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the parent; a terminal sends it to all
    listener, memory, place, lifeline, news = (int(argument) for argument in sys.argv[1:])
    os.ftruncate(memory, limits.BYTES + figures.BYTES)
    settings = Settings()
    try:
        database = open_database(settings.database)
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    sys.setswitchinterval(_SWITCH_SECONDS)
    keep_small()
    try:
        app = create_app(
            database,
            bundles=settings.bundles,
            token=settings.token(),
            user_secret=settings.user_secret(),
            host=settings.host,
            limiter=_limiter(settings, memory),
            safety=settings.safety,
            shared=SharedFigures(memory, offset=limits.BYTES, place=place),
        )
        server = DrainingServer(
            _config(app),
            lifeline=lifeline,
            news=news,
            has_siblings=settings.gateway_workers > 1,
            on_leave=app.drain,
            on_second=app.publish,
            refuse=app.early_refusal,
        )
        settle()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _finish)  # uvicorn sends itself the signal again once it has drained
        server.run([socket.socket(fileno=listener)])
        app.publish()
    finally:
        database.close()
    return 0


def _limiter(settings: Settings, memory: int) -> Limits | None:
    per_client, per_tenant = settings.gateway_rate_per_second, settings.quotas.requests_per_second
    if not (per_client or per_tenant):
        return None
    return Limits(per_client=per_client, per_tenant=per_tenant, memory=memory, secret=settings.user_secret())


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,  # paths and user ids are not for logs; /metrics counts
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # who is on this machine is told by the socket, not by a header
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


def _finish(_number: int, _frame: FrameType | None) -> None:
    """Let `main` return, and with it the exit code 0."""


if __name__ == "__main__":
    sys.exit(main())
