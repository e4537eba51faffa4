"""Small worlds with a known answer, through the real split."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from recmodels.bundle import Bundle, load_bundle, write_bundle
from recmodels.data.entities import normalise_items
from recmodels.data.interactions import normalise
from recmodels.data.schema import CATEGORY, ITEM_ID, ITEMS, SAFETY, SURFACE, TIMESTAMP, USER_ID
from recmodels.data.splits import Split, split_interactions
from recmodels.data.vocabulary import Vocabulary
from recmodels.recipe import DataConfig, ModelChoice, Recipe, SplitConfig
from recmodels.scorers import Scorer, StaticScorer
from recmodels.trainer_config import TrainerConfig
from recmodels.training.trainer import Trained

CIRCLES = 8
CIRCLE_LENGTH = 10
DAY = 86_400_000_000
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
CUTOFF = datetime(2025, 3, 1, tzinfo=UTC)


def circles_split(*, users: int = 240, seed: int = 0) -> Split:
    """Users walk around one of 8 circles of 10 items, one step an hour: the next item is certain, popularity flat."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(4, 9, size=users)
    user = np.repeat(np.arange(users), steps)
    step = np.concatenate([np.arange(count) for count in steps])
    circle = rng.integers(0, CIRCLES, size=users)[user]
    place = (rng.integers(0, CIRCLE_LENGTH, size=users)[user] + step) % CIRCLE_LENGTH
    moment = START + rng.integers(0, 60 * DAY, size=users)[user] + step * 3_600_000_000
    interactions = pa.table(
        {
            USER_ID: [f"u{n}" for n in user],
            ITEM_ID: [f"c{c}-{p}" for c, p in zip(circle, place, strict=True)],
            TIMESTAMP: pa.array(moment, pa.timestamp("us", tz="UTC")),
        }
    )
    ids = [f"c{c}-{p}" for c in range(CIRCLES) for p in range(CIRCLE_LENGTH)]
    items = pa.table({ITEM_ID: ids, CATEGORY: [name[:2] for name in ids]})
    rows = normalise(interactions, source="circles")
    return split_interactions(
        rows, normalise_items(items, rows, source="circles"), data=DataConfig(), split=SplitConfig()
    )


def a_recipe(model: str = "popularity", config: dict[str, object] | None = None, **trainer: object) -> Recipe:
    return Recipe(name=model, model=ModelChoice(name=model, config=config or {}), trainer=TrainerConfig(**trainer))


def a_vocabulary(count: int) -> Vocabulary:
    """Items i0, i1, ... at the indices 2, 3, ..."""
    return Vocabulary(np.array([f"i{n}" for n in range(count)]))


def an_items_table(
    vocabulary: Vocabulary, *, blocked: tuple[str, ...] = (), surfaces: dict[str, str] | None = None
) -> pa.Table:
    ids = vocabulary.ids.tolist()
    return pa.table(
        {
            ITEM_ID: ids,
            SURFACE: pa.array([(surfaces or {}).get(name) for name in ids], pa.string()),
            SAFETY: ["blocked" if name in blocked else "ok" for name in ids],
        }
    ).select([ITEM_ID, SURFACE, SAFETY])


def full_items(rows: dict[str, dict[str, str]]) -> pa.Table:
    """An items table of every column; `safety` is ``ok`` where it is not given."""
    listed = [{ITEM_ID: item_id, SAFETY: "ok"} | fields for item_id, fields in rows.items()]
    return pa.Table.from_pylist(listed, schema=ITEMS)


def static(*scores: float) -> StaticScorer:
    return StaticScorer(np.array([0, 0, *scores], dtype=np.float32))


def save_bundle(root: Path, scorer: Scorer, *, items: pa.Table | None = None, **overrides: object) -> str:
    vocabulary = a_vocabulary(scorer.vocabulary_size - 2)
    fields = {
        "vocabulary": vocabulary,
        "items": items if items is not None else an_items_table(vocabulary),
        "item_counts": np.arange(scorer.vocabulary_size, dtype=np.int64),
        "recipe": a_recipe(),
        "snapshot": "snapshot-1",
        "trained_until": CUTOFF,
        "metrics": {"ndcg_at_10": 0.25},
    }
    return write_bundle(root, scorer=scorer, **(fields | overrides))


def a_bundle(root: Path, scorer: Scorer, *, items: pa.Table | None = None) -> Bundle:
    return load_bundle(root, save_bundle(root, scorer, items=items))


def write_trained(root: Path, trained: Trained, *, recipe: Recipe, split: Split) -> str:
    return write_bundle(
        root,
        scorer=trained.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot="circles",
        trained_until=split.train_until,
        metrics=trained.metrics,
        weights=trained.weights,
        warm_start=trained.warm_start,
    )
