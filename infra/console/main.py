"""`python -m infra.console.main`: the control room under uvicorn, on the address that the settings name."""

import signal
import sys
from types import FrameType

import uvicorn

from infra.console.app import create_app
from infra.database import open_database
from infra.settings import Settings
from recmodels.errors import EverfeedError


def main() -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 2 where the settings or the store cannot be used.
    """
    settings = Settings()
    try:
        database = open_database(settings.database)
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    signal.signal(signal.SIGTERM, _finish)  # uvicorn sends itself the signal again once it has drained
    try:
        uvicorn.run(
            create_app(settings, database),
            host=settings.host,
            port=settings.console_port,
            access_log=False,  # a preview's address holds a user id
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        database.close()
    return 0


def _finish(_number: int, _frame: FrameType | None) -> None:
    """Let `main` return, and with it the exit code 0."""


if __name__ == "__main__":
    sys.exit(main())
