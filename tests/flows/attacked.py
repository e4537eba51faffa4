"""A home whose source holds an attack: fake accounts that push an item of middling popularity."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.accounts import Survey, survey
from flows.ingest import ingest, read_source
from flows.references import Batch, DataSet, Screened, Snapshot
from flows.train import read_split
from flows.validate import store
from flows.wiring import Platform, connect
from infra.settings import Settings
from monitoring.drift.shilling import ShillingConfig
from recmodels.bundle import load_bundle, write_bundle
from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.shilling import Attack, fake_events
from recmodels.presets import item_knn
from recmodels.ranker import Ranker
from recmodels.recipe import SplitConfig
from recmodels.training.trainer import train
from tests.flows.homes import ROOT

OPTIONS = {"users": 200, "items": 150, "creators": 8, "days": 10}
FAKE = "made-up-account"
FAKES = 9
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_RECIPE = item_knn().model_copy(
    update={"split": SplitConfig(validation_from=_FIRST + timedelta(days=7), test_from=_FIRST + timedelta(days=8))}
)


@dataclass(frozen=True)
class Attacked:
    """A home, the batch that is its source, and the item that is pushed."""

    platform: Platform
    batch: Batch
    target: str

    def arrive(self) -> Snapshot:
        """Bring the source into the lake, as a schedule does day by day."""
        pq.write_table(pa.table({"row": pa.array([], pa.string())}), self.batch.folder / "quarantine.parquet")
        return store(
            self.batch, Screened(folder=self.batch.folder, rows={}, quarantined=0, reasons={}, warnings=(), docs=None)
        )

    def exposure(self, snapshot: Snapshot) -> float:
        """Train, and return the share of the lists of ten of people that hold the target, by the path that serves."""
        split = read_split(self.platform, snapshot, _RECIPE)
        folder = self.platform.settings.bundles
        trained = train(_RECIPE, split, checkpoint_folder=self.platform.settings.runs, seed=_RECIPE.seed)
        digest = write_bundle(
            folder,
            scorer=trained.scorer,
            vocabulary=split.vocabulary,
            items=split.items,
            item_counts=split.item_counts,
            recipe=_RECIPE,
            snapshot=snapshot.fingerprint,
            trained_until=split.train_until,
            metrics={},
            probes=split.train,
        )
        lists = Ranker(load_bundle(folder, digest)).top_k(split.test.histories, k=10, remove_seen=True).items
        return float((lists == split.vocabulary.encode([self.target])[0]).any(axis=1).mean())


def attacked(home: Settings) -> Attacked:
    """Stage a source with an attack; nothing is in the lake yet."""
    batch = ingest("synthetic", ROOT, dict(OPTIONS))
    tables = {name: pq.read_table(batch.folder / f"{name}.parquet") for name in ("interactions", "items")}
    target = target_of(tables["interactions"])
    pq.write_table(with_attack(tables["interactions"], tables["items"]), batch.folder / "interactions.parquet")
    return Attacked(connect(home), batch, target)


def attacked_lake(home: Settings) -> Platform:
    """Write the same rows into a lake without any flow."""
    platform = Platform(home)
    home.root.mkdir(parents=True)
    (home.root / "data_set.json").write_text(DataSet(name="synthetic", is_order_only=False).model_dump_json())
    interactions, items = _world()
    platform.lake.replace("items", items)
    platform.lake.replace("interactions", interactions)
    return platform


def target_of(clean: pa.Table) -> str:
    """Return the item in the middle by its events."""
    counted = clean.group_by("item_id").aggregate([([], "count_all")])
    order = [("count_all", "ascending"), ("item_id", "ascending")]
    return str(counted.sort_by(order)["item_id"][counted.num_rows // 2].as_py())


def with_attack(clean: pa.Table, items: pa.Table) -> pa.Table:
    """Add nine accounts that have, on the seventh day, 50 events each on one item and 20 on others."""
    attack = Attack("bandwagon", target_of(clean), _FIRST + timedelta(days=6), user_share=0.05, hours=20)
    fakes = fake_events(clean, items, attack, seed=3).cast(clean.schema)
    place = fakes.column_names.index("user_id")
    names = pc.replace_substring(fakes["user_id"], "shilling-3-", f"{FAKE}-")  # events have such ids, too
    fakes = fakes.set_column(place, fakes.schema.field(place), names)
    assert (pc.count_distinct(fakes["user_id"]).as_py(), fakes.num_rows) == (FAKES, FAKES * 70)
    return pa.concat_tables([clean, fakes])


def people_rows(one: Attacked) -> int:
    """Return how many rows of the source are of people."""
    users = pq.read_table(one.batch.folder / "interactions.parquet", columns=["user_id"])["user_id"]
    return int(pc.sum(pc.invert(pc.starts_with(users, FAKE))).as_py())


def fake_rows(platform: Platform) -> int:
    """Return how many rows of the lake are of fake accounts."""
    users = platform.lake.read("interactions", columns=["user_id"])["user_id"]
    return int(pc.sum(pc.starts_with(users, FAKE)).as_py())


def look(platform: Platform) -> Survey:
    """Look for suspects in the last days."""
    return survey(platform, days=5, history_days=100, rows=1_000_000, config=ShillingConfig())


@cache
def _world() -> tuple[pa.Table, pa.Table]:
    tables = read_source("synthetic", ROOT, dict(OPTIONS))
    rows = deduplicate(normalise(tables.interactions, source="synthetic")).table
    return with_attack(rows, tables.items), tables.items


def source_file(folder: Path) -> tuple[Path, str]:
    """Write the events as a file for the source `table`, and return it with the item that is pushed."""
    interactions, _ = _world()
    path = folder / "events.parquet"
    pq.write_table(interactions, path)
    people = interactions.filter(pc.invert(pc.starts_with(interactions["user_id"], FAKE)))
    return path, target_of(people)
