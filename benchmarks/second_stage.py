"""The whole path on a synthetic world whose truth is known: what retrieval alone, a ranker and re-ranking are worth.

    python -m benchmarks.second_stage --users 2400 --seeds 0 1 2

A share of the items is labelled blocked. Each test user is asked for once, at their last query, on the surface video;
every release answers the same requests. A list's value is the sum of the true chances of a click at its places
(`World.click_probability`); the oracle shows the best allowed unseen items in order of the true chance, and regret is
the share of its value that a release leaves. Differences are per user, with a bootstrap over users.

What a release is made of is chosen on the requests of the validation part, by what is known there and no truth: how
much retrieval counts in the order, by the clicked items' nDCG; the strengths of re-ranking, as the most diverse lists
that keep a share of the clicks that the ranker expects.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recmodels.bundle import load_bundle, released, write_bundle
from recmodels.data.cuts import as_microseconds
from recmodels.data.histories import Histories
from recmodels.data.schema import CATEGORY, CREATOR_ID, SAFETY, Tables
from recmodels.data.sources import synthetic
from recmodels.data.splits import Queries, Split, split_interactions
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.data.world import World
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.metrics import judge_lists, ndcg
from recmodels.ranker import Ask, Ranker
from recmodels.ranking.stage import train_stage
from recmodels.ranking.utility import Utility
from recmodels.recipe import Recipe, parse_recipe
from recmodels.reranking.config import RerankingConfig
from recmodels.training.trainer import train

K, POOL, BLOCKED_SHARE = 10, 100, 0.03
_DAY_MICROSECONDS = 86_400 * 1_000_000
RETRIEVAL_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
KEPT_CLICKS = 0.99
"""Of what the ranker expects of its own lists; the most diverse lists that keep it are chosen."""
_MOST_TRIED = 600
"""Validation requests on which strengths are compared."""


def chains() -> Iterator[RerankingConfig]:
    """Yield the re-rankings that are compared."""
    for exposure, mmr, caps in product((0.0, 0.05, 0.1), (0.0, 0.05, 0.1, 0.2, 0.3), (False, True)):
        stages: list[dict[str, object]] = [
            {"name": "exposure", "config": {"strength": exposure}},
            {"name": "mmr", "config": {"strength": mmr}},
        ]
        if caps:
            stages.append({"name": "caps", "config": {"creator": 2, "category": 4, "window": 10}})
        yield RerankingConfig.model_validate({"stages": stages})


@dataclass(frozen=True, eq=False)
class Asked:
    """Q requests, with what is true of each.

    Attributes:
        asks: One a user.
        chances: (Q, N) true chance of a click at the first place; -inf for what may not be shown.
        bias: (K,) by which a place changes that chance.
        targets: What was clicked then.
    """

    asks: list[Ask]
    chances: NDArray[np.float64]
    bias: NDArray[np.float64]
    targets: Histories

    def take(self, rows: NDArray[np.int64]) -> "Asked":
        """Return some of the requests."""
        return Asked([self.asks[row] for row in rows.tolist()], self.chances[rows], self.bias, self.targets.take(rows))


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


def requests_of(queries: Queries, split: Split, world: World, start: int) -> Asked:
    """Return each user's last query as a request, beside the true chances at that moment."""
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
    return Asked(asks, chances, world.position_bias, queries.targets.take(last))


def lists_of(root: Path, digest: str, asked: Asked) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of the catalogue that a release shows, (Q, K), and what its lists tell of them in sum, (Q,)."""
    ranker = Ranker(load_bundle(root, digest))
    slates = ranker.recommend_many(asked.asks)
    ids = [list(slate.item_ids) for slate in slates]
    rows = np.array([ranker.bundle.vocabulary.encode(row) for row in ids], dtype=np.int64) - FIRST_ITEM
    return rows, np.array([sum(slate.scores) for slate in slates])


def with_retrieval(root: Path, digest: str, asked: Asked) -> str:
    """Return the release in whose order retrieval counts as much as the clicks of the validation part say."""
    found = {}
    for weight in RETRIEVAL_WEIGHTS:
        release = released(root, digest, utility=Utility(clicked=1.0, retrieval=weight)) if weight else digest
        lists = (lists_of(root, release, asked)[0] + FIRST_ITEM).astype(np.int32)
        found[weight] = (float(ndcg(judge_lists(lists, asked.targets), K).mean()), release)
    best = max(found, key=lambda weight: found[weight][0])
    tried = ", ".join(f"{weight}: {value:.4f}" for weight, (value, _) in found.items())
    print(f"retrieval's weight {best} (validation nDCG@{K} by weight {tried})")
    return found[best][1]


def with_stages(root: Path, digest: str, split: Split, asked: Asked) -> str:
    """Return the release with the most diverse lists that keep their share of the clicks that it expects."""
    categories = _numbered(split, CATEGORY)
    plain, expected = lists_of(root, digest, asked)
    best = (_apart(categories[plain]), digest, "none")
    for chain in chains():
        release = released(root, digest, reranking=chain)
        lists, kept = lists_of(root, release, asked)
        if kept.sum() >= KEPT_CLICKS * expected.sum():
            share = f"{kept.sum() / expected.sum():.3f} of the expected clicks"
            words = ", ".join(f"{stage.name} {stage.config.get('strength', '')}".strip() for stage in chain.stages)
            best = max(best, (_apart(categories[lists]), release, f"{words}; {share}"))
    print(f"stages {best[2]}, validation diversity {best[0]:.3f}")
    return best[1]


def oracle_of(asked: Asked) -> NDArray[np.int64]:
    """Return the lists of who knows the truth."""
    return np.argsort(-asked.chances, axis=1, kind="stable")[:, :K]


def values_of(lists: NDArray[np.int64], asked: Asked) -> NDArray[np.float64]:
    """Return the expected clicks of each list, (Q,), with -inf counted as 0."""
    found = np.take_along_axis(asked.chances, lists, axis=1)
    places = np.arange(K).clip(max=len(asked.bias) - 1)
    clicks: NDArray[np.float64] = (np.where(np.isfinite(found), found, 0.0) * asked.bias[places]).sum(axis=1)
    return clicks


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a release's lists are worth on the test requests of one seed.

    Attributes:
        clicks: (Q,) expected of each list.
        gain: (Q,) less those of retrieval alone.
        regret: Share of the oracle's clicks that is missed.
        diversity: Share of pairs of a list in two categories.
        gini: Of creators' exposure.
        unsafe: Items shown that may not be.
    """

    clicks: NDArray[np.float64]
    gain: NDArray[np.float64]
    regret: float
    diversity: float
    gini: float
    unsafe: int


def outcomes(split: Split, shown: Mapping[str, NDArray[np.int64]], asked: Asked) -> dict[str, Outcome]:
    """Judge every release by the truth."""
    categories, creators = _numbered(split, CATEGORY), _numbered(split, CREATOR_ID)
    best, base = values_of(shown["oracle"], asked), values_of(shown["retrieval"], asked)
    found = {}
    for name, lists in shown.items():
        clicks = values_of(lists, asked)
        unsafe = int((np.take_along_axis(asked.chances, lists, axis=1) == -np.inf).sum())
        exposure = np.bincount(creators[lists].ravel(), minlength=creators.max() + 1)
        regret = 1 - float(clicks.sum() / best.sum())
        found[name] = Outcome(clicks, clicks - base, regret, _apart(categories[lists]), _gini(exposure), unsafe)
    return found


def print_table(seeds: Sequence[Mapping[str, Outcome]]) -> None:
    """Print the mean over seeds of every release, users of all seeds drawn again for the interval."""
    print(
        "\n| release | clicks a list | less retrieval | by seed | regret | diversity | creators' Gini | unsafe shown |"
    )
    print("|---|--:|---|---|--:|--:|--:|--:|")
    for name in seeds[0]:
        each = [seed[name] for seed in seeds]
        means = bootstrap_means(np.concatenate([one.gain for one in each])[:, None], samples=1000, seed=0)[:, 0]
        bounds = percentile_interval(means, confidence=0.95)
        by_seed = ", ".join(f"{one.gain.mean():+.3f}" for one in each)
        print(
            f"| {name} | {np.concatenate([one.clicks for one in each]).mean():.3f} | "
            f"{means.mean():+.3f} ({bounds.lower:+.3f} to {bounds.upper:+.3f}) | {by_seed} | "
            f"{np.mean([one.regret for one in each]):.3f} | {np.mean([one.diversity for one in each]):.3f} | "
            f"{np.mean([one.gini for one in each]):.3f} | {sum(one.unsafe for one in each)} |"
        )


def _numbered(split: Split, column: str) -> NDArray[np.int64]:
    return np.unique(split.items[column].to_pylist(), return_inverse=True)[1].astype(np.int64)


def _apart(labels: NDArray[np.int64]) -> float:
    return float((labels[:, :, None] != labels[:, None, :]).mean() * K / (K - 1))


def _gini(counts: NDArray[np.int64]) -> float:
    ordered = np.sort(counts)
    size = len(ordered)
    return float((2 * np.arange(1, size + 1) - size - 1) @ ordered / (size * ordered.sum()))


def run(given: argparse.Namespace, seed: int) -> dict[str, Outcome]:
    """Build the world of a seed, train both stages, choose the releases and judge them."""
    options = synthetic.Options(
        users=given.users, items=given.items, days=given.days, creators=60, sessions_a_day=0.6, seed=seed
    )
    tables = labelled(synthetic.read(None, **options.model_dump()), seed=seed)
    recipe = a_recipe(given.model, epochs=given.epochs)
    split = split_interactions(tables.interactions, tables.items, data=recipe.data, split=recipe.split)
    assert recipe.ranking is not None, "the recipe asks for a ranker"
    stage = train_stage(recipe.ranking, tables, split, seed=seed)
    fitted = train(recipe, split, checkpoint_folder=None, seed=seed)
    start = as_microseconds(synthetic.datetime(*options.start.timetuple()[:3], tzinfo=synthetic.UTC))
    world = synthetic.world(options)
    validation, test = (requests_of(one, split, world, start) for one in (split.validation, split.test))
    print(
        f"\nseed {seed}: {tables.interactions.num_rows} exposures, {len(validation.asks)} and {len(test.asks)} "
        f"requests, ranker after {stage.epochs} epochs: AUC of clicks {stage.metrics['ranking_auc_clicked']:.4f}"
    )
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
        heeded = with_retrieval(root, ranked, validation)
        tried = validation.take(np.arange(min(len(validation.asks), _MOST_TRIED)))
        whole = with_stages(root, heeded, split, tried)
        digests = {"retrieval": plain, "+ ranker": ranked, "+ ranker and retrieval": heeded, "+ re-ranking": whole}
        shown = {name: lists_of(root, one, test)[0] for name, one in digests.items()}
    return outcomes(split, shown | {"oracle": oracle_of(test)}, test)


def main() -> None:
    """Compare the releases on every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=800)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--days", type=int, default=21)
    parser.add_argument("--model", default="ease")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    print_table([run(given, seed) for seed in given.seeds])


if __name__ == "__main__":
    main()
