"""The gateway's application in one process, with or without batching: `python -m ... PORT [unbatched]`.

Without batching means that a request is ranked where it stands, by the very functions that rank a batch.
"""

import sys

import uvicorn

from infra.database import open_database
from infra.serving import slots
from infra.serving.app import create_app
from infra.serving.batching import Batcher, Standing, rank_together
from infra.settings import Settings
from recmodels.slates import Ask, Slate

_SWITCH_SECONDS = 0.0005  # as the gateway's workers have it


class Unbatched(Batcher):
    """Ranks each request by itself."""

    async def rank(self, ask: Ask, *, standing: Standing) -> Slate:
        """Return the list of one request."""
        (outcome,) = rank_together(self.ranker, [ask], standing)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def main() -> None:
    """Serve until SIGTERM."""
    if "unbatched" in sys.argv[2:]:
        slots.Batcher = Unbatched  # type: ignore[attr-defined]  # not exported, and replaced on purpose
    settings = Settings()
    database = open_database(settings.database)
    app = create_app(database, bundles=settings.bundles, token=settings.token(), user_secret=settings.user_secret())
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    database.close()


if __name__ == "__main__":
    main()
