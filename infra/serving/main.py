"""`python -m infra.serving.main`: the gateway under uvicorn, on the address that the settings name."""

import logging
import signal
import sys
from types import FrameType

import uvicorn

from infra.database import open_database
from infra.serving.app import create_app
from infra.settings import Settings
from recmodels.errors import EverfeedError

_DRAIN_SECONDS = 10
_SWITCH_SECONDS = 0.0005
"""How soon the event loop hands over to the writing thread; with the usual 5 ms a commit takes 50 ms."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests that run are finished and what is queued is written.

    Returns:
        The exit code: 2 where the settings or the store cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    try:
        database = open_database(settings.database)
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.setswitchinterval(_SWITCH_SECONDS)
    signal.signal(signal.SIGTERM, _finish)  # uvicorn sends itself the signal again once it has drained
    try:
        app = create_app(
            database,
            bundles=settings.bundles,
            token=settings.token(),
            user_secret=settings.user_secret(),
            host=settings.host,
        )
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.gateway_port,
            access_log=False,  # paths and user ids are not for logs; /metrics counts
            log_level="warning",
            server_header=False,
            proxy_headers=False,  # who is on this machine is told by the socket, not by a header
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    finally:
        database.close()
    return 0


def _finish(_number: int, _frame: FrameType | None) -> None:
    """Let `main` return, and with it the exit code 0."""


if __name__ == "__main__":
    sys.exit(main())
