"""Re-ranking: what each stage costs in relevance and brings in variety, and how long it takes a request.

    python -m benchmarks.reranking trade-offs --data ../shared/data --name kuairand_pure --model ials
    python -m benchmarks.reranking speed

`trade-offs` trains one model, ranks the same test queries (1,000 at most) with every stage at several strengths, and
prints a table; `--plot` draws it. `speed` times chains over pools of 100 candidates for lists of 20, in CPU
microseconds a list: the least of several rounds, beside a bare loop of NumPy calls that tells how fast the machine is.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quality import read_tables
from recmodels.bundle import Bundle, load_bundle, write_bundle
from recmodels.data.splits import Split, split_interactions
from recmodels.evaluation import plots
from recmodels.evaluation.trade_offs import TradeOff, trade_offs
from recmodels.presets import PRESETS
from recmodels.recipe import DataConfig, Recipe
from recmodels.reranking.chain import Chain
from recmodels.reranking.config import RerankingConfig
from recmodels.reranking.facts import Facts
from recmodels.reranking.pool import Pool
from recmodels.training import trainer

LABELS = {"kuairand_pure": DataConfig(label="long_viewed")}
STRENGTHS: dict[str, tuple[float, ...]] = {
    "mmr": (0.1, 0.3, 0.5, 0.7),
    "dpp": (0.1, 0.3, 0.5, 0.7),
    "calibrated": (0.1, 0.3, 0.5, 0.7),
    "freshness": (0.1, 0.3, 1.0),
    "exposure": (0.1, 0.3, 1.0),
    "exploration": (0.1, 0.5, 1.0),
}
COLUMNS = ("ndcg_at_10", "recall_at_10", "distance_at_10", "diversity_at_10", "coverage_at_10", "gini_at_10")
COLUMNS += ("creator_gini_at_10",)
POOL, LENGTH, ROUNDS, LISTS = 100, 20, 5, 300
EVERYTHING = ("freshness", "exposure", "mmr", "dpp", "calibrated", "caps", "exploration")


def curves(bundle: Bundle, split: Split, recipe: Recipe) -> dict[str, list[TradeOff]]:
    """Return one curve a stage, each from the list by score on; caps have no strength and are one point."""
    drawn = {}
    for name, strengths in STRENGTHS.items():
        field = "rate" if name == "exploration" else "strength"
        releases = [(0.0, RerankingConfig())]
        releases += [(strength, _release({name: {field: strength}})) for strength in strengths]
        drawn[name] = trade_offs(bundle, split.test, releases=releases, remove_seen=recipe.evaluation.remove_seen)
    capped = [(1.0, _release({"caps": {"creator": 1, "category": 3}}))]
    drawn["caps"] = trade_offs(bundle, split.test, releases=capped, remove_seen=recipe.evaluation.remove_seen)
    return drawn


def print_curves(drawn: dict[str, list[TradeOff]]) -> None:
    """Print one line a point; the list by score once."""
    print(f"| stage | strength | {' | '.join(COLUMNS)} |\n|---|--:|{'--:|' * len(COLUMNS)}")
    plain = next(iter(drawn.values()))[0]
    for name, point in [("by score", plain), *((name, p) for name, points in drawn.items() for p in points)]:
        if name == "by score" or point.strength:
            figures = " | ".join(f"{point.metrics[one]:.4f}" if one in point.metrics else "" for one in COLUMNS)
            print(f"| {name} | {point.strength:g} | {figures} |")


def train(name: str, model: str, *, data: Path, folder: Path) -> tuple[Bundle, Split, Recipe]:
    """Train a preset on a data set and return it as it would be served."""
    tables, config = read_tables(name, data), LABELS.get(name, DataConfig())
    recipe = PRESETS[model](config)
    split = split_interactions(tables.interactions, tables.items, data=recipe.data, split=recipe.split)
    trained = trainer.train(recipe, split, checkpoint_folder=folder / "checkpoints", seed=0)
    digest = write_bundle(
        folder,
        scorer=trained.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot=name,
        trained_until=split.train_until,
        metrics=trained.metrics,
    )
    return load_bundle(folder, digest), split, recipe


def a_pool(facts: Facts, seed: int) -> Pool:
    """Return a random pool with a reserve of 20 cold items and a history of 50."""
    rng = np.random.default_rng(seed)
    columns = rng.permutation(np.arange(2, len(facts.creators)))[: POOL + 20].astype(np.int32)
    scores = -np.sort(-rng.normal(size=len(columns))).astype(np.float32)
    return Pool(
        columns=columns,
        scores=scores,
        num_retrieved=POOL,
        facts=facts,
        labels=np.zeros(len(columns), np.int8),
        is_on_shelf=np.ones(len(columns), np.bool_),
        history=rng.integers(2, len(facts.creators), 50).astype(np.int32),
        seed=seed,
        deficits=rng.random(len(columns)),
    )


def random_facts(size: int = 7_000, *, dim: int = 64) -> Facts:
    """Return facts of a catalogue like KuaiRand's: few categories an item, some popular, many small creators."""
    rng = np.random.default_rng(0)
    has = rng.random((size + 2, 3)) < np.array([1.0, 0.3, 0.05])
    return Facts(
        creators=rng.integers(0, 1500, size + 2).astype(np.int32),
        categories=np.where(has, (rng.random((size + 2, 3)) ** 2 * 40).astype(np.int32), -1),
        ages=rng.random(size + 2) * 30,
        counts=rng.integers(0, 200, size + 2),
        vectors=rng.normal(size=(size + 2, dim)).astype(np.float32),
    )


def microseconds(work: Callable[[], None], *, count: int) -> float:
    """Return the least CPU time of a unit of work over some rounds."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        spent.append((time.process_time() - began) / count * 1e6)
    return min(spent)


def print_speed() -> None:
    """Print what each stage, and all of them, take for a list."""
    facts = random_facts()
    numbers = np.random.default_rng(0).random(POOL)
    calls = 20_000
    bare = microseconds(lambda: [numbers.argmax() for _ in range(calls)] and None, count=calls)
    print(f"one argmax of {POOL} numbers: {bare:.2f} us of CPU\n\n| chain | CPU us a list |\n|---|--:|")
    chains: dict[str, dict[str, dict[str, object]]] = {"safety alone": {}}
    chains |= {name: {name: {}} for name in EVERYTHING}
    chains["dpp, window of 10"] = {"dpp": {"window": 10}}
    chains["exploration, thompson, always"] = {"exploration": {"method": "thompson", "rate": 1.0}}
    chains["everything"] = {name: {} for name in EVERYTHING}
    for name, stages in chains.items():
        chain, pools = Chain(_release(stages)), [a_pool(facts, seed) for seed in range(LISTS)]

        def work(chain: Chain = chain, pools: list[Pool] = pools) -> None:
            for pool in pools:
                chain.rerank(replace(pool), k=LENGTH)  # without what an earlier round worked out

        print(f"| {name} | {microseconds(work, count=LISTS):.0f} |")


def _release(stages: dict[str, dict[str, object]]) -> RerankingConfig:
    return RerankingConfig.model_validate({"stages": [{"name": name, "config": one} for name, one in stages.items()]})


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("trade-offs", "speed"))
    parser.add_argument("--data", type=Path, help="folder of all data sets")
    parser.add_argument("--name", default="kuairand_pure", help="folder of one")
    parser.add_argument("--model", default="ials", choices=sorted(PRESETS))
    parser.add_argument("--plot", type=Path, help="PNG to write")
    given = parser.parse_args()
    if given.what == "speed":
        print_speed()
        return
    with tempfile.TemporaryDirectory() as scratch:
        bundle, split, recipe = train(given.name, given.model, data=given.data, folder=Path(scratch))
        drawn = curves(bundle, split, recipe)
    print_curves(drawn)
    if given.plot is not None:
        plots.trade_offs(drawn, given.plot)


if __name__ == "__main__":
    main()
