"""A warm start beside training from scratch: `python -m benchmarks.incremental kuairand FOLDER --label long_viewed`.

Everybody is cut at four moments, by shares of all interactions: the champion learns from the first half and stops by
the tenth after it. Then two tenths more arrive. The new models learn from the first 70 %, stop by the tenth after it,
and all, the champion included, are asked for the last fifth. Nothing is chosen on that part: the settings of a warm
start are the recipe's defaults, those of the model the preset's.

Figures are means over users, then over seeds. Intervals are of 95 % over users, each with the mean of their seeds, so
that they hold the chance of users; that of seeds shows in the range in brackets.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from recmodels.bundle import Bundle, load_bundle, write_bundle
from recmodels.data.cuts import as_moment
from recmodels.data.entities import normalise_items
from recmodels.data.histories import Histories
from recmodels.data.interactions import deduplicate, normalise
from recmodels.data.schema import TIMESTAMP, USER_ID, Tables
from recmodels.data.sources import SOURCES
from recmodels.data.splits import Queries, Split, split_interactions
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN, Vocabulary
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.record import Evaluation
from recmodels.lineage import OLDER_USERS
from recmodels.presets import sasrec
from recmodels.ranker import Ranker
from recmodels.recipe import DataConfig, EvaluationConfig, Recipe, SplitConfig, override
from recmodels.training.trainer import Parent, Trained, train

SHARES = (0.5, 0.6, 0.7, 0.8)
"""Of all interactions, by time: the champion trains and stops by the first two, the new models by the last two."""
VARIANTS = {
    "champion as it is": None,
    "from scratch": [],
    "warm start": ["warm_start.enabled=true"],
    "warm start, no replay": ["warm_start.enabled=true", "warm_start.replay_share=0"],
    "warm start, all replayed": ["warm_start.enabled=true", "warm_start.replay_share=1"],
}
NDCG, RECALL = "ndcg_at_10", "recall_at_20"
_SAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Attempt:
    """One variant at one seed.

    Attributes:
        users: Per user, on the whole test part.
        older: Per user, on the older users alone.
        new_items: Per user, on the targets that the champion does not know.
        validation: ndcg_at_10 on the validation part, by which training stopped.
        cpu_seconds: Of training; 0 for the champion, which is there already.
        epochs: Passes over the rows that the variant holds.
    """

    users: pa.Table
    older: pa.Table
    new_items: pa.Table
    validation: float
    cpu_seconds: float
    epochs: int


@dataclass(frozen=True)
class Figure:
    """A mean over users with its interval, and the range of the seeds' means."""

    value: float
    lower: float
    upper: float
    least: float
    most: float
    users: int


@dataclass(frozen=True)
class Line:
    """One variant.

    Attributes:
        variant: Which.
        ndcg_at_10: On the whole test part.
        recall_at_20: Likewise.
        against_scratch: Its ndcg_at_10 minus that of training from scratch, paired by users.
        older: ndcg_at_10 of older users.
        forgetting: That minus the champion's, paired by users.
        new_items: recall_at_20 of the targets that the champion does not know.
        validation: Mean ndcg_at_10 on the validation part.
        cpu_seconds: Mean of the seeds.
        epochs: Mean of the seeds.
    """

    variant: str
    ndcg_at_10: Figure
    recall_at_20: Figure
    against_scratch: Figure
    older: Figure
    forgetting: Figure
    new_items: Figure
    validation: float
    cpu_seconds: float
    epochs: float


def main(arguments: list[str] | None = None) -> int:
    """Train, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="source plug-in, such as kuairand or movielens")
    parser.add_argument("path", type=Path, help="what the source reads")
    parser.add_argument("--label", default="any", help="what makes an interaction positive")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="change a field of the recipe")
    parser.add_argument("--only", action="append", default=[], choices=list(VARIANTS), help="leave out other variants")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    recipe = override(sasrec(DataConfig.model_validate({"label": options.label})), options.overrides)
    recipe = recipe.model_copy(update={"evaluation": EvaluationConfig(top_ks=(10, 20))})
    tables = SOURCES.module(options.source).read(options.path)
    lines = run(tables, recipe, seeds=range(options.seeds), names=tuple(options.only))
    if options.json:
        print(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        _print(lines)
    return 0


def run(tables: Tables, recipe: Recipe, *, seeds: range, names: tuple[str, ...] = ()) -> list[Line]:
    """Train and measure every variant at every seed.

    Args:
        tables: The data; rows that stand twice count once.
        recipe: Of a model with a gradient.
        seeds: Each is a champion of its own, and what follows from it.
        names: Variants beside the champion and training from scratch; all where none is given.
    """
    chosen = [name for name in VARIANTS if not names or name in names or not VARIANTS[name]]
    before, after = splits(tables, recipe)
    attempts: dict[str, list[Attempt]] = {name: [] for name in chosen}
    with TemporaryDirectory() as scratch:
        for seed in seeds:
            one = recipe.model_copy(update={"seed": seed})
            champion = bundle_of(Path(scratch), train(one, before, checkpoint_folder=None, seed=seed), one, before)
            for name in chosen:
                attempts[name].append(_attempt(Path(scratch), name, one, champion, after))
                Console(stderr=True).print(f"seed {seed}, {name}: {attempts[name][-1].cpu_seconds:.1f} CPU-seconds")
    return [_line(name, attempts) for name in chosen]


def splits(tables: Tables, recipe: Recipe) -> tuple[Split, Split]:
    """Return what the champion saw and what the new models see."""
    rows = deduplicate(normalise(tables.interactions, source=tables.name)).table
    items = normalise_items(tables.items, rows, source=tables.name)
    moments = pc.quantile(pc.cast(rows[TIMESTAMP], pa.int64()), q=list(SHARES), interpolation="lower").to_pylist()
    cuts = [as_moment(value) for value in moments]
    arrived = rows.filter(pc.less(rows[TIMESTAMP], pa.scalar(cuts[2], pa.timestamp("us", tz="UTC"))))
    first, second = (SplitConfig(validation_from=cuts[n], test_from=cuts[n + 1]) for n in (0, 2))
    return (
        split_interactions(arrived, items, data=recipe.data, split=first),
        split_interactions(rows, items, data=recipe.data, split=second),
    )


def _attempt(root: Path, name: str, recipe: Recipe, champion: Bundle, split: Split) -> Attempt:
    settings = VARIANTS[name]
    if settings is None:
        return _measured(champion, recipe, split, champion, None, 0.0)
    chosen = override(recipe, settings)
    parent = Parent.of(champion) if settings else None
    started = time.process_time()
    trained = train(chosen, split, checkpoint_folder=None, seed=chosen.seed, parent=parent)
    cpu_seconds = time.process_time() - started
    return _measured(bundle_of(root, trained, chosen, split), chosen, split, champion, trained, cpu_seconds)


def _measured(
    bundle: Bundle, recipe: Recipe, split: Split, champion: Bundle, trained: Trained | None, cpu_seconds: float
) -> Attempt:
    def asked(queries: Queries) -> Evaluation:
        ranker, since = Ranker(bundle), champion.manifest.trained_until
        return evaluate(ranker, queries, config=recipe.evaluation, seed=0, vocabulary=split.vocabulary, since=since)

    whole = asked(split.test)
    return Attempt(
        users=whole.per_user,
        older=whole.per_user_of(OLDER_USERS),
        new_items=asked(new_targets(split, champion.vocabulary)).per_user,
        validation=trained.metrics["ndcg_at_10"] if trained else float("nan"),
        cpu_seconds=cpu_seconds,
        epochs=len(trained.epochs) if trained else 0,
    )


def new_targets(split: Split, known: Vocabulary) -> Queries:
    """Return the test queries with those targets alone that are in the new catalogue and not among the `known`."""
    is_new = known.encode(split.vocabulary.ids) == UNKNOWN
    is_new = np.concatenate([np.zeros(FIRST_ITEM, np.bool_), is_new])
    rows, items = split.test.targets.flat()
    kept = is_new[items]
    lengths = np.bincount(rows[kept], minlength=len(split.test))
    times = split.test.targets.compact().timestamps[kept]
    ends = np.cumsum(lengths)
    chosen = np.flatnonzero(lengths)
    targets = Histories(items[kept], times, ends - lengths, ends).take(chosen)
    test = split.test
    return Queries(
        test.histories.take(chosen), targets, test.user_ids[chosen], test.surfaces[chosen], test.is_new_user[chosen]
    )


def bundle_of(root: Path, trained: Trained, recipe: Recipe, split: Split) -> Bundle:
    """Write what was trained and read it as it would be served."""
    digest = write_bundle(
        root,
        scorer=trained.scorer,
        vocabulary=split.vocabulary,
        items=split.items,
        item_counts=split.item_counts,
        recipe=recipe,
        snapshot=f"until {split.train_until}",
        trained_until=split.train_until,
        metrics=trained.metrics,
        weights=trained.weights,
        warm_start=trained.warm_start,
    )
    return load_bundle(root, digest)


def _line(name: str, attempts: dict[str, list[Attempt]]) -> Line:
    def figure(part: Callable[[Attempt], pa.Table], metric: str, against: str = "") -> Figure:
        own = _by_user([part(one) for one in attempts[name]], metric)
        return paired(own - _by_user([part(one) for one in attempts[against]], metric) if against else own)

    own = attempts[name]
    return Line(
        variant=name,
        ndcg_at_10=figure(lambda one: one.users, NDCG),
        recall_at_20=figure(lambda one: one.users, RECALL),
        against_scratch=figure(lambda one: one.users, NDCG, "from scratch"),
        older=figure(lambda one: one.older, NDCG),
        forgetting=figure(lambda one: one.older, NDCG, "champion as it is"),
        new_items=figure(lambda one: one.new_items, RECALL),
        validation=float(np.mean([one.validation for one in own])),
        cpu_seconds=float(np.mean([one.cpu_seconds for one in own])),
        epochs=float(np.mean([one.epochs for one in own])),
    )


def _by_user(tables: list[pa.Table], metric: str) -> NDArray[np.float64]:
    """Return a metric by user and seed, (U, S); every seed asks the same users, in the same order."""
    assert all(table[USER_ID].equals(tables[0][USER_ID]) for table in tables), "seeds ask the same users"
    return np.stack([table[metric].to_numpy() for table in tables], axis=1)


def paired(values: NDArray[np.float64]) -> Figure:
    """Return the figure of values, or differences, by user and seed, (U, S)."""
    drawn = bootstrap_means(values.mean(axis=1, keepdims=True), samples=_SAMPLES, seed=0)[:, 0]
    ends = percentile_interval(drawn, confidence=0.95)
    seeds = values.mean(axis=0)
    return Figure(float(values.mean()), ends.lower, ends.upper, float(seeds.min()), float(seeds.max()), len(values))


def _print(lines: list[Line]) -> None:
    table = Table(*("variant", "ndcg@10", "recall@20", "ndcg@10 - scratch", "older users", "older - champion"))
    for name in ("recall@20 new items", "validation ndcg@10", "CPU s", "epochs"):
        table.add_column(name)
    for line in lines:
        figures = (line.ndcg_at_10, line.recall_at_20, line.against_scratch, line.older, line.forgetting)
        table.add_row(
            line.variant,
            *(_words(figure) for figure in (*figures, line.new_items)),
            f"{line.validation:.4f}",
            f"{line.cpu_seconds:.1f}",
            f"{line.epochs:.1f}",
        )
    console = Console(width=260)
    console.print(table)
    first = lines[0]
    console.print(
        f"{first.ndcg_at_10.users:,} users, {first.older.users:,} older ones, {first.new_items.users:,} who took an "
        "item that the champion does not know"
    )


def _words(figure: Figure) -> str:
    return f"{figure.value:.4f} ({figure.lower:+.4f} to {figure.upper:+.4f}) [{figure.least:.4f}..{figure.most:.4f}]"


if __name__ == "__main__":
    raise SystemExit(main())
