"""The whole path on a synthetic world whose truth is known: what retrieval alone, a ranker and re-ranking are worth.

    python -m benchmarks.second_stage

A share of the items is labelled blocked. Each test user is asked for once, at their last query, on the surface video;
every release answers the same requests. A list's value is the sum of the true chances of a click at its places
(`World.click_probability`); the oracle shows the best allowed unseen items in order of the true chance, and regret is
the share of its value that a release leaves. Differences are per user, with a bootstrap over users.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.bundle import load_bundle, released, write_bundle
from recmodels.data.cuts import as_microseconds
from recmodels.data.schema import CATEGORY, CREATOR_ID, SAFETY, Tables
from recmodels.data.sources import synthetic
from recmodels.data.splits import Split, split_interactions
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.data.world import World
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.ranker import Ask, Ranker
from recmodels.ranking.stage import train_stage
from recmodels.recipe import Recipe, parse_recipe
from recmodels.reranking.config import RerankingConfig
from recmodels.training.trainer import train

K, POOL, BLOCKED_SHARE = 10, 100, 0.03
_DAY_MICROSECONDS = 86_400 * 1_000_000
STAGES = {
    "stages": [
        {"name": "exposure", "config": {"strength": 0.05}},
        {"name": "mmr", "config": {"strength": 0.05}},
        {"name": "caps", "config": {"creator": 2, "category": 4, "window": 10}},
    ]
}


@dataclass(frozen=True, eq=False)
class Asked:
    """Q requests, with what is true of each.

    Attributes:
        asks: One a user.
        chances: (Q, N) true chance of a click at the first place; -inf for what may not be shown.
        bias: (K,) by which a place changes that chance.
    """

    asks: list[Ask]
    chances: NDArray[np.float64]
    bias: NDArray[np.float64]


def a_recipe(model: str, *, epochs: int) -> Recipe:
    """Return what is trained: clicks are what counts, for retrieval and for the utility."""
    return parse_recipe(
        {
            "name": "second-stage",
            "model": {"name": model},
            "data": {"label": "clicked"},
            "ranking": {
                "pool": POOL,
                "features": {"max_history": 30, "minimum_surface_rows": 500},
                "trainer": {"epochs": epochs, "batch_size": 512, "learning_rate": 0.003, "patience": 2},
                "utility": {"clicked": 1.0},
            },
        }
    )


def labelled(tables: Tables, *, seed: int) -> Tables:
    """Return the data set with some items blocked."""
    rng = np.random.default_rng([seed, 7])
    labels = np.where(rng.random(tables.items.num_rows) < BLOCKED_SHARE, "blocked", "ok")
    place = tables.items.column_names.index(SAFETY)
    items = tables.items.set_column(place, tables.items.schema.field(SAFETY), pa.array(labels))
    return Tables(tables.name, tables.interactions, items, tables.users)


def requests_of(split: Split, world: World, start: int) -> Asked:
    """Return each test user's last query as a request, beside the true chances at that moment."""
    queries = split.test
    last = np.flatnonzero(np.append(queries.user_ids[1:] != queries.user_ids[:-1], True))
    last = last[queries.histories.lengths[last] > 0]
    moments = queries.targets.timestamps[queries.targets.starts[last]]
    users = np.array([int(user[1:]) for user in queries.user_ids[last].tolist()])
    days = (moments - start) / _DAY_MICROSECONDS
    items = np.array([int(item[1:]) for item in split.vocabulary.ids.tolist()])
    chances = world.click_probability(users[:, None], items[None, :], day=days[:, None])
    asks = []
    is_live = world.item_is_live[items]
    is_blocked = np.array(split.items[SAFETY].to_pylist()) == "blocked"
    chances[:, is_live | is_blocked] = -np.inf
    for row, (query, moment) in enumerate(zip(last.tolist(), moments.tolist(), strict=True)):
        past = slice(queries.histories.starts[query], queries.histories.ends[query])
        seen = queries.histories.items[past]
        chances[row, seen - FIRST_ITEM] = -np.inf
        ids = split.vocabulary.decode(seen).tolist()
        times = queries.histories.timestamps[past].tolist()
        asks.append(Ask(ids, times, K, "video", seed=row, moment=moment))
    return Asked(asks, chances, world.position_bias)


def lists_of(ranker: Ranker, asked: Asked) -> NDArray[np.int64]:
    """Return the rows of the catalogue that are shown, (Q, K)."""
    slates = ranker.recommend_many(asked.asks)
    ids = [list(slate.item_ids) for slate in slates]
    return np.array([ranker.bundle.vocabulary.encode(row) for row in ids], dtype=np.int64) - FIRST_ITEM


def oracle_of(asked: Asked) -> NDArray[np.int64]:
    """Return the lists of who knows the truth."""
    return np.argsort(-asked.chances, axis=1, kind="stable")[:, :K]


def values_of(lists: NDArray[np.int64], asked: Asked) -> NDArray[np.float64]:
    """Return the expected clicks of each list, (Q,), with -inf counted as 0."""
    found = np.take_along_axis(asked.chances, lists, axis=1)
    places = np.arange(K).clip(max=len(asked.bias) - 1)
    clicks: NDArray[np.float64] = (np.where(np.isfinite(found), found, 0.0) * asked.bias[places]).sum(axis=1)
    return clicks


def print_table(split: Split, shown: Mapping[str, NDArray[np.int64]], asked: Asked) -> None:
    """Print every release beside the oracle, then its difference to retrieval alone."""
    categories = np.unique(split.items[CATEGORY].to_pylist(), return_inverse=True)[1]
    creators = np.unique(split.items[CREATOR_ID].to_pylist(), return_inverse=True)[1]
    best = values_of(shown["oracle"], asked)
    base = values_of(shown["retrieval"], asked)
    print("| release | clicks a list | against retrieval | regret | diversity | creators' Gini | unsafe shown |")
    print("|---|--:|---|--:|--:|--:|--:|")
    for name, lists in shown.items():
        values = values_of(lists, asked)
        apart = (categories[lists][:, :, None] != categories[lists][:, None, :]).mean() * K / (K - 1)
        means = bootstrap_means((values - base)[:, None], samples=1000, seed=0)[:, 0]
        bounds = percentile_interval(means, confidence=0.95)
        unsafe = int((np.take_along_axis(asked.chances, lists, axis=1) == -np.inf).sum())
        exposure = np.bincount(creators[lists].ravel(), minlength=creators.max() + 1)
        print(
            f"| {name} | {values.mean():.3f} | {(values - base).mean():+.3f} ({bounds.lower:+.3f} to "
            f"{bounds.upper:+.3f}) | {1 - values.sum() / best.sum():.3f} | {apart:.3f} | {_gini(exposure):.3f} | "
            f"{unsafe} |"
        )


def _gini(counts: NDArray[np.int64]) -> float:
    ordered = np.sort(counts)
    size = len(ordered)
    return float((2 * np.arange(1, size + 1) - size - 1) @ ordered / (size * ordered.sum()))


def main() -> None:
    """Build the world, train both stages, and compare the releases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=800)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--model", default="ease")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    options = synthetic.Options(
        users=given.users, items=given.items, days=given.days, creators=60, sessions_a_day=0.6, seed=given.seed
    )
    tables = labelled(synthetic.read(None, **options.model_dump()), seed=given.seed)
    recipe = a_recipe(given.model, epochs=given.epochs)
    split = split_interactions(tables.interactions, tables.items, data=recipe.data, split=recipe.split)
    assert recipe.ranking is not None, "the recipe asks for a ranker"
    stage = train_stage(recipe.ranking, tables, split, seed=given.seed)
    fitted = train(recipe, split, checkpoint_folder=None, seed=given.seed)
    start = as_microseconds(synthetic.datetime(*options.start.timetuple()[:3], tzinfo=synthetic.UTC))
    asked = requests_of(split, synthetic.world(options), start)
    print(f"{tables.interactions.num_rows} exposures, {len(asked.asks)} requests, validation {stage.metrics}\n")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        common = {
            "scorer": fitted.scorer,
            "vocabulary": split.vocabulary,
            "items": split.items,
            "item_counts": split.item_counts,
            "snapshot": "synthetic",
            "trained_until": split.train_until,
            "metrics": fitted.metrics,
        }
        plain = write_bundle(root, recipe=recipe.model_copy(update={"ranking": None}), **common)
        ranked = write_bundle(root, recipe=recipe, ranking=stage.model, **common)
        both = released(root, ranked, reranking=RerankingConfig.model_validate(STAGES))
        digests = {"retrieval": plain, "+ ranker": ranked, "+ ranker + re-ranking": both}
        shown = {name: lists_of(Ranker(load_bundle(root, one)), asked) for name, one in digests.items()}
    print_table(split, shown | {"oracle": oracle_of(asked)}, asked)


if __name__ == "__main__":
    main()
