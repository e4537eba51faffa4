"""Models on real data sets, whole catalogue: `python -m benchmarks.quality DATA RECIPE... --out RUNS`.

    python -m benchmarks.quality ../shared/data benchmarks/recipes/ml_1m/sasrec.json --out runs
    python -m benchmarks.quality ../shared/data benchmarks/recipes/*/*.json --out runs --validation

A recipe's folder names its data set. `--validation` stops before the test part is looked at: settings are chosen with
it. Every run is kept in a folder of its own, and one that is there already is not repeated, so that an interrupted
list goes on where it was. A recipe with `refit` is judged twice: as trained, and trained once more, for the epochs
that the validation part chose, on training and validation part together.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from benchmarks.commit import commit_of_tree
from recmodels.bundle import load_bundle, write_bundle
from recmodels.data.schema import Tables
from recmodels.data.sources import SOURCES
from recmodels.data.splits import Split, refit_before_test, split_interactions
from recmodels.errors import EverfeedError
from recmodels.evaluation.evaluator import evaluate
from recmodels.evaluation.record import Evaluation
from recmodels.ranker import Ranker
from recmodels.recipe import Recipe, override, parse_recipe
from recmodels.scorers import Scorer
from recmodels.training.checkpoints import EpochMetrics
from recmodels.training.trainer import refit, train

AS_TRAINED, REFITTED = "held out", "refitted"
"""Whether the model that is judged has seen the validation part."""


@dataclass(frozen=True)
class DataSet:
    """Where a data set lies below the folder of all, and how it is read."""

    source: str
    path: str
    options: Mapping[str, str]


DATA_SETS: Mapping[str, DataSet] = MappingProxyType(
    {
        "ml_1m": DataSet("sequences", "ml_1m/ml1m_ordered.parquet", {}),
        "amazon_beauty": DataSet("sequences", "amazon_beauty/Beauty.txt", {"items": "amazon_beauty/items.csv"}),
        "microlens_50k": DataSet(
            "sequences",
            "microlens_50k/MicroLens-50k_pairs.tsv",
            {"items": "microlens_50k/MicroLens-50k_titles.csv"},
        ),
        "ml_latest_small": DataSet("movielens", "ml_latest_small", {}),
        "kuairand_pure": DataSet("kuairand", "kuairand_pure", {}),
    }
)


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        data: Name of the data set.
        recipe: Name of the recipe.
        model: Plug-in.
        digest: Of the recipe, its seed included.
        seed: Of weights, batches and negatives.
        protocol: `AS_TRAINED` or `REFITTED`.
        commit: Of the code, with ``+`` where files differed from it.
        date: When it ended (UTC).
        load: One-minute load of the machine when it ended.
        cpu_seconds: Of training, validation included; a refit counts its own training alone.
        epochs: Trained, and of the best.
        validation: `ndcg_at_10` and `recall_at_10` on the validation part, of the held-out training.
        test: Metrics on the test part with their intervals; empty where it was not looked at.
    """

    data: str
    recipe: str
    model: str
    digest: str
    seed: int
    protocol: str
    commit: str
    date: str
    load: float
    cpu_seconds: float
    epochs: tuple[int, int]
    validation: Mapping[str, float]
    test: Mapping[str, tuple[float, float, float]]


def main(arguments: list[str] | None = None) -> int:
    """Run every recipe that has no result yet; 1 where one failed, which the others do not suffer from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of all data sets")
    parser.add_argument("recipes", type=Path, nargs="+", help="recipe files in folders named as their data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", dest="settings", action="append", default=[], help="PATH=VALUE of the recipe")
    parser.add_argument("--validation", action="store_true", help="never look at the test part")
    options = parser.parse_args(arguments)
    failed: list[str] = []
    for path in options.recipes:
        for seed in options.seeds:
            try:
                recipe = override(parse_recipe(path.read_text()), [*options.settings, f"seed={seed}"])
                run(path.parent.name, recipe, data=options.data, out=options.out, is_judged=not options.validation)
            except EverfeedError as error:
                failed.append(f"{path}: {error}")
    for words in failed:
        print(words, file=sys.stderr)
    return 1 if failed else 0


def run(name: str, recipe: Recipe, *, data: Path, out: Path, is_judged: bool) -> None:
    """Train and judge one recipe, unless its folder holds the results."""
    folder = out / name / f"{recipe.name}-{recipe.seed}-{recipe.digest[:8]}"
    wanted = [AS_TRAINED, *([REFITTED] if recipe.refit and is_judged else [])]
    if all(_is_done(folder / protocol, is_judged=is_judged) for protocol in wanted):
        print(f"{folder} is there")
        return
    tables = read_tables(name, data)
    split = split_interactions(
        tables.interactions, tables.items, data=recipe.data, split=recipe.split, is_order_only=tables.is_order_only
    )
    folder.mkdir(parents=True, exist_ok=True)
    spent = _Spent(folder)
    trained = train(recipe, split, checkpoint_folder=folder / "checkpoints", seed=recipe.seed, on_epoch=spent.say)
    seconds = spent.seconds
    epochs = len(trained.epochs), trained.best_epoch
    about = _About(name, recipe, epochs, trained.metrics)
    _judge(about, AS_TRAINED, split, trained.scorer, seconds, folder, is_judged=is_judged)
    if REFITTED in wanted:
        whole = refit_before_test(
            tables.interactions, tables.items, data=recipe.data, split=recipe.split, is_order_only=tables.is_order_only
        )
        began = time.process_time()
        scorer = refit(recipe, whole, epochs=trained.best_epoch, seed=recipe.seed)
        _judge(about, REFITTED, whole, scorer, time.process_time() - began, folder, is_judged=True)


@dataclass(frozen=True)
class _About:
    data: str
    recipe: Recipe
    epochs: tuple[int, int]
    validation: Mapping[str, float]


def _judge(
    about: _About, protocol: str, split: Split, scorer: Scorer, seconds: float, folder: Path, *, is_judged: bool
) -> None:
    measured: dict[str, tuple[float, float, float]] = {}
    if is_judged:
        evaluation = _evaluate(about.recipe, split, scorer)
        evaluation.save(folder / protocol)
        measured = {
            name: (value, *(asdict(evaluation.intervals[name]).values() if name in evaluation.intervals else ()))
            for name, value in evaluation.metrics.items()
        }
    result = Result(
        data=about.data,
        recipe=about.recipe.name,
        model=about.recipe.model.name,
        digest=about.recipe.digest,
        seed=about.recipe.seed,
        protocol=protocol,
        commit=commit_of_tree(),
        date=datetime.now(UTC).isoformat(timespec="minutes"),
        load=round(os.getloadavg()[0], 1),
        cpu_seconds=round(seconds, 1),
        epochs=about.epochs,
        validation=about.validation,
        test=measured,
    )
    (folder / protocol).mkdir(parents=True, exist_ok=True)
    (folder / protocol / "result.json").write_text(json.dumps(asdict(result), indent=1))
    figures = {name: round(values[0], 4) for name, values in measured.items() if name in ("hit_at_10", "ndcg_at_10")}
    print(
        folder.name,
        protocol,
        f"{seconds:.0f} CPU-s, epochs {about.epochs}",
        dict(about.validation),
        figures,
        flush=True,
    )


def _evaluate(recipe: Recipe, split: Split, scorer: Scorer) -> Evaluation:
    """Judge what would be served: the scorer is written as a bundle and read again."""
    with tempfile.TemporaryDirectory() as folder:
        digest = write_bundle(
            Path(folder),
            scorer=scorer,
            vocabulary=split.vocabulary,
            items=split.items,
            item_counts=split.item_counts,
            recipe=recipe,
            snapshot="benchmark",
            trained_until=split.train_until,
            metrics={},
            probes=split.train,
        )
        ranker = Ranker(load_bundle(Path(folder), digest))
        return evaluate(ranker, split.test, config=recipe.evaluation, seed=recipe.seed)


def read_tables(name: str, data: Path) -> Tables:
    """Read one of `DATA_SETS` below the folder of all."""
    if name not in DATA_SETS:
        raise SystemExit(f"the folder {name!r} names no data set. Known: {', '.join(DATA_SETS)}.")
    one = DATA_SETS[name]
    options = {key: data / value for key, value in one.options.items()}
    tables: Tables = SOURCES.get(one.source)(data / one.path, **options)
    return tables


def _is_done(folder: Path, *, is_judged: bool) -> bool:
    path = folder / "result.json"
    return path.exists() and (not is_judged or bool(json.loads(path.read_text())["test"]))


class _Spent:
    """Processor time of a training, whose parts before interruptions are kept beside the checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "cpu_seconds.txt"
        self._name = folder.name
        self._before = float(self._file.read_text()) if self._file.exists() else 0.0
        self._began = time.process_time()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._before + time.process_time() - self._began

    def say(self, one: EpochMetrics) -> None:
        """Print how an epoch ended."""
        words = f"{self._name} epoch {one.epoch}: loss {one.loss:.4f}, validation {one.ndcg_at_10:.4f}"
        print(f"{words}, {self.seconds:.0f} CPU-s", file=sys.stderr, flush=True)
        self._file.write_text(str(self.seconds))


if __name__ == "__main__":
    sys.exit(main())
