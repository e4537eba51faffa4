"""Homes to serve from: a transformer with random weights, a catalogue of Zipf popularity, users with histories.

Run as a program, `python -m benchmarks.serving.homes FOLDER ITEMS USERS INDEX SEED`, so that torch, which exports the
encoder, never enters the process that measures.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.serving.figures import ROOT
from benchmarks.serving.plan import Plan, say
from infra.database import Database, open_database
from infra.histories import HistoryStore
from infra.rollouts import ModelReference, RolloutStore
from infra.rollouts import Plan as RolloutPlan
from infra.settings import Settings
from recmodels.data.schema import ITEMS
from recmodels.manifest import FORMAT_VERSION
from recmodels.retrieval.config import RetrievalConfig, RetrievalReport

if TYPE_CHECKING:
    from recmodels.models.sasrec import Model

EMBEDDING_DIM = 64
HISTORY_LENGTH = 50
WEIGHTS = "torch"
"""Folder of the weights as torch reads them, for the server that it is compared with."""

_FACTORS = 16
_NOISE = 0.05
_ZIPF = 1.0
_NOW = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class BenchHome:
    """A home folder with a champion and a bundle that may challenge it.

    Attributes:
        folder: The home.
        champion: Digest of the bundle that serves.
        challenger: Digest of a bundle of the same size, with other weights.
        num_users: Users with a history: `user-0`, `user-1`, ...
        num_items: Items: `item-0`, ... in order of popularity.
    """

    folder: Path
    champion: str
    challenger: str
    num_users: int
    num_items: int

    @property
    def settings(self) -> Settings:
        """The settings of a process over this home."""
        return Settings(home=self.folder)

    def database(self) -> Database:
        """Open its database; the caller closes it."""
        return open_database(self.settings.database)

    def challenge(self, database: Database, *, share: float = 0.5, rollout_id: str = "rollout-1") -> None:
        """Start a rollout of the challenger."""
        plan = RolloutPlan(
            rollout_id, ModelReference(self.challenger, 2), steps=(share,), cause="a benchmark", salt=rollout_id
        )
        RolloutStore(database).start(plan, now=datetime.now(UTC), by="a benchmark")

    @property
    def search(self) -> RetrievalReport:
        """What search the champion's bundle got, and why."""
        manifest = json.loads((self.folder / "bundles" / self.champion / "manifest.json").read_text())
        return RetrievalReport.model_validate(manifest["retrieval"])

    def bodies(self, *, seed: int, count: int = 4096, k: int = 10) -> list[bytes]:
        """Return JSON bodies of recommendations for users drawn at random."""
        users = np.random.default_rng(seed).integers(0, self.num_users, size=count)
        return [f'{{"user":"user-{user}","k":{k}}}'.encode() for user in users.tolist()]


def prepare(plan: Plan, *, items: int, index: str = "auto", users: int | None = None) -> BenchHome:
    """Return the home with so many items, building it where an earlier run did not.

    Args:
        plan: Where it is kept, and its seed.
        items: Size of the catalogue.
        index: Kind of search: ``auto``, ``exact`` or ``hnsw``, as a recipe names it.
        users: How many have a history.
    """
    users = users or plan.size(10_000, 300)
    folder = plan.work / "homes" / f"{items}-{users}-{index}-{plan.seed}-v{FORMAT_VERSION}"
    if not (folder / "home.json").exists():
        say(f"building a home of {items} items and {users} users, {index} search")
        shutil.rmtree(folder, ignore_errors=True)
        command = (sys.executable, "-m", "benchmarks.serving.homes", folder, items, users, index, plan.seed)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([str(word) for word in command], check=True, cwd=ROOT, env=environment)
    facts = json.loads((folder / "home.json").read_text())
    return BenchHome(folder, facts["champion"], facts["challenger"], users, items)


def copy(home: BenchHome, folder: Path) -> BenchHome:
    """Return a copy that may be written to; bundles are shared as hard links."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home.folder, folder, ignore=shutil.ignore_patterns("bundles", "logs", WEIGHTS))
    shutil.copytree(home.folder / "bundles", folder / "bundles", copy_function=os.link)
    return BenchHome(folder, home.champion, home.challenger, home.num_users, home.num_items)


def item_vectors(num_items: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (N + 2, D) vectors of few factors and a little noise: trained ones are like that, independent ones not."""
    factors = rng.normal(size=(num_items + 2, _FACTORS)) @ rng.normal(size=(_FACTORS, EMBEDDING_DIM))
    vectors = factors / np.sqrt(_FACTORS * EMBEDDING_DIM) + _NOISE * rng.normal(size=factors.shape)
    single: NDArray[np.float32] = vectors.astype(np.float32)
    return single


def make_model(num_items: int, *, seed: int) -> "Model":
    """Return SASRec with random weights, the same ones for the same seed."""
    import torch

    from recmodels.models.sasrec import Model

    torch.manual_seed(seed)
    model = Model(Model.Config(embedding_dim=EMBEDDING_DIM, max_length=HISTORY_LENGTH), num_items + 2)
    with torch.no_grad():
        model.items.weight.copy_(torch.from_numpy(item_vectors(num_items, rng=np.random.default_rng(seed))))
    return model.eval()


def popular_items(num_items: int, size: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw items of Zipf popularity: the first is the most popular."""
    weights = 1.0 / np.arange(1, num_items + 1) ** _ZIPF
    drawn: NDArray[np.int64] = rng.choice(num_items, size=size, p=weights / weights.sum())
    return drawn


def _build(folder: Path, *, items: int, users: int, index: str, seed: int) -> None:
    settings = Settings(home=folder)
    settings.root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    database = open_database(settings.database)
    champion, challenger = (_write(settings, items, index=index, seed=seed + number) for number in range(2))
    HistoryStore(database).replace_all(_histories(items, users, rng=rng), secret=settings.user_secret())
    settings.token()
    RolloutStore(database).set_bootstrap_champion(
        ModelReference(champion, 1), now=_NOW, by="a benchmark", reason="bootstrap"
    )
    database.close()
    (folder / "home.json").write_text(json.dumps({"champion": champion, "challenger": challenger}))


def _write(settings: Settings, num_items: int, *, index: str, seed: int) -> str:
    from safetensors.torch import save_file

    from recmodels.bundle import write_bundle
    from recmodels.data.vocabulary import FIRST_ITEM, Vocabulary
    from recmodels.recipe import ModelChoice, Recipe

    model = make_model(num_items, seed=seed)
    ids = [f"item-{number}" for number in range(num_items)]
    counts = np.concatenate([np.zeros(FIRST_ITEM), np.ceil(1e6 / np.arange(1, num_items + 1))]).astype(np.int64)
    digest = write_bundle(
        settings.bundles,
        scorer=model.export(),
        vocabulary=Vocabulary(np.array(ids)),
        items=_items(ids),
        item_counts=counts,
        recipe=Recipe(name="random", model=ModelChoice(name="sasrec"), retrieval=RetrievalConfig(kind=index)),
        snapshot="random weights",
        trained_until=_NOW,
        metrics={"ndcg_at_10": 0.1},
    )
    folder = settings.root / WEIGHTS / digest
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({"num_items": num_items, "config": model.config.model_dump()}))
    return digest


def _items(ids: list[str]) -> pa.Table:
    numbers = np.arange(len(ids))
    columns = {
        "item_id": ids,
        "creator_id": [f"creator-{number % 5000}" for number in numbers],
        "surface": ["video"] * len(ids),
        "category": [f"category-{number % 40}" for number in numbers],
        "text": [f"title of {name}" for name in ids],
        "safety": ["ok"] * len(ids),
    }
    missing = {field.name: pa.nulls(len(ids), field.type) for field in ITEMS if field.name not in columns}
    return pa.table({**columns, **missing}).select(ITEMS.names).cast(ITEMS)


def _histories(num_items: int, num_users: int, *, rng: np.random.Generator) -> pa.Table:
    size = num_users * HISTORY_LENGTH
    items = popular_items(num_items, size, rng=rng)
    users = np.repeat(np.arange(num_users), HISTORY_LENGTH)
    minutes = np.tile(np.arange(HISTORY_LENGTH), num_users)
    start = int((_NOW - timedelta(days=1)).timestamp() * 1e6)
    return pa.table(
        {
            "user_id": np.char.add("user-", users.astype(str)),
            "item_id": np.char.add("item-", items.astype(str)),
            "timestamp": pa.array(start + minutes * 60_000_000, pa.timestamp("us", "UTC")),
            "surface": ["video"] * size,
        }
    )


if __name__ == "__main__":
    place, num_items_, num_users_, index_, seed_ = sys.argv[1:]
    _build(Path(place), items=int(num_items_), users=int(num_users_), index=index_, seed=int(seed_))
