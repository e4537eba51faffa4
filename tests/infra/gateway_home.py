"""A home folder with real bundles and stores, as the gateway and the control room find it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import uvicorn
from numpy.typing import NDArray
from scipy import sparse
from starlette.types import ASGIApp

from infra.database import Database
from infra.rollouts import ModelReference, Plan, RolloutStore
from recmodels.bundle import write_bundle
from recmodels.data.schema import ITEMS
from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
from recmodels.recipe import ModelChoice, Recipe
from recmodels.scorers import ItemItemScorer, Scorer, StaticScorer

TOKEN = "a-token-for-tests"
SECRET = b"a-secret-for-tests"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NUM_ITEMS = 30
ITEM_IDS = tuple(f"film-{number:02d}" for number in range(NUM_ITEMS))
"""`film-00` was consumed most often, `film-29` least."""
BLOCKED_ITEM = "film-01"
LIVE_ITEM = "film-03"


def items_table(item_ids: tuple[str, ...] = ITEM_IDS) -> pa.Table:
    """Every item is of surface video except one; one is blocked."""
    rows = [
        {
            "item_id": item_id,
            "creator_id": "someone",
            "surface": "live" if item_id == LIVE_ITEM else "video",
            "category": "drama",
            "text": f"<b>Title</b> of {item_id}",
            "safety": "blocked" if item_id == BLOCKED_ITEM else "ok",
        }
        for item_id in item_ids
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def counts() -> NDArray[np.int64]:
    return np.concatenate([np.zeros(FIRST_ITEM), np.arange(NUM_ITEMS, 0, -1)]).astype(np.int64)


def next_item_scorer() -> ItemItemScorer:
    """Item n says 1.0 of item n + 1, and nothing of others."""
    size = NUM_ITEMS + FIRST_ITEM
    rows = np.arange(FIRST_ITEM, size - 1)
    weights = sparse.csr_array((np.ones(len(rows), np.float32), (rows, rows + 1)), shape=(size, size))
    return ItemItemScorer(weights)


def overflowing_scorer() -> ItemItemScorer:
    """Its weights are finite, and so is what one item says; what two say together is infinite."""
    size = NUM_ITEMS + FIRST_ITEM
    rows = np.arange(FIRST_ITEM, size)
    weights = np.full(len(rows), 3e38, np.float32)
    return ItemItemScorer(sparse.csr_array((weights, (rows, np.full(len(rows), size - 1))), shape=(size, size)))


def constant_scorer(value: float = 0.0) -> StaticScorer:
    """Prefers the last item; every score is shifted by `value`."""
    return StaticScorer((np.arange(NUM_ITEMS + FIRST_ITEM) + value).astype(np.float32))


def write(root: Path, scorer: Scorer, *, name: str) -> str:
    return write_bundle(
        root,
        scorer=scorer,
        vocabulary=Vocabulary(np.array(ITEM_IDS)),
        items=items_table(),
        item_counts=counts(),
        recipe=Recipe(name=name, model=ModelChoice(name="popularity")),
        snapshot="a-snapshot",
        trained_until=NOW,
        metrics={"ndcg_at_10": 0.25, "recall_at_10": 0.5},
    )


@dataclass(frozen=True)
class Home:
    """A folder of bundles and an open database."""

    folder: Path
    database: Database

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def rollouts(self) -> RolloutStore:
        return RolloutStore(self.database)

    def crown(self, scorer: Scorer | None = None) -> ModelReference:
        """Make a model champion: by default the one that recommends the next item."""
        model = ModelReference(write(self.bundles, scorer or next_item_scorer(), name="champion"), 1)
        self.rollouts.set_bootstrap_champion(model, now=NOW, by="a test", reason="bootstrap")
        return model

    def challenge(
        self, scorer: Scorer | None = None, *, share: float = 0.5, is_missing: bool = False
    ) -> ModelReference:
        """Start a rollout: by default of the model that prefers the last item."""
        model = ModelReference(write(self.bundles, scorer or constant_scorer(), name="challenger"), 2)
        if is_missing:
            (self.bundles / model.digest / "manifest.json").unlink()
        plan = Plan("rollout-1", model, steps=(share,), cause="a test", salt="a salt")
        self.rollouts.start(plan, now=NOW, by="a test")
        return model


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Run an application under uvicorn on a free loopback port, and yield its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "the server ended before it started"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the server did not end"
