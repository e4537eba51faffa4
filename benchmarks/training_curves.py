"""What it costs to be as good as another library's SASRec: `python -m benchmarks.training_curves COMMAND`.

    python -m benchmarks.training_curves peer amazon_beauty rectools ../shared/data --python PEERS/bin/python
    python -m benchmarks.training_curves ours amazon_beauty rectools ../shared/data
    python -m benchmarks.training_curves table

`peer` trains by the other library, in its own environment, on the training part of a leave-one-out split, and keeps the
curve in `benchmarks/results/`. `ours` trains the same architecture until it is as good as that curve's best, and keeps
its own. One thread each. After every epoch all rank the same at most 4000 validation users, whole catalogue, seen items
removed; their lists are judged by the same functions. Processor time is that of training: neither side's contains the
making and judging of lists. The peer's begins at its first step, ours at the call of `train`. Learning rate and dropout
are the same on both sides unless a curve's command says otherwise, and the batch where it means the same (RecBole's
holds prefixes of histories). Ours multiplies in bfloat16 where the processor can, as its trainer does by default, the
peers in float32, as theirs do.
"""

import argparse
import contextlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.commit import commit_of_tree
from benchmarks.curves import RESULTS, Curve, Point, best, is_over, keep, load
from benchmarks.quality import read_tables
from benchmarks.table import report
from benchmarks.training_comparisons import COMPARISONS, OURS, Comparison, best_peer, figures
from recmodels.data.schema import Tables
from recmodels.data.sources import SOURCES
from recmodels.data.splits import Queries, Split, split_interactions
from recmodels.evaluation.metrics import judge_lists, ndcg
from recmodels.recipe import Recipe, override, parse_recipe
from recmodels.training.precision import is_bfloat16
from recmodels.training.trainer import EpochMetrics, train

K = 10
_MOST_QUERIES = 4000


class _Asked:
    """A split whose validation part holds no more users than training looks at, and its lists' judge."""

    def __init__(self, name: str, data: Path, recipe: Recipe) -> None:
        tables = _tables(name, data)
        split = split_interactions(
            tables.interactions, tables.items, data=recipe.data, split=recipe.split, is_order_only=tables.is_order_only
        )
        self.split: Split = replace(split, validation=_some(split.validation, seed=recipe.seed))
        self.commit = commit_of_tree(str(RESULTS.parent))

    def write(self, folder: Path) -> None:
        """Write what the peer reads."""
        rows, items = self.split.train.flat()
        position = np.arange(len(rows)) - np.searchsorted(rows, rows)
        pq.write_table(pa.table({"user": rows, "position": position, "item": items}), folder / "train.parquet")
        histories = self.split.validation.histories
        queries = pa.array([histories.row(row) for row in range(len(histories))], type=pa.list_(pa.int32()))
        pq.write_table(pa.table({"items": queries}), folder / "queries.parquet")

    def judge(self, lists: np.ndarray[Any, np.dtype[np.int64]]) -> float:
        """Return the mean ndcg of the (Q, K) lists."""
        self._refuse_seen(lists)
        return float(ndcg(judge_lists(lists.astype(np.int32), self.split.validation.targets), K).mean())

    def _refuse_seen(self, lists: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        rows, items = self.split.validation.histories.flat()
        shown = np.arange(len(lists))[:, None] << 32 | lists
        if np.isin(shown, rows << 32 | items).any():
            raise SystemExit("the peer's lists hold items of the histories; its ids are read wrongly.")


def main(arguments: list[str] | None = None) -> int:
    """Measure one side of one comparison, or print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("peer", "ours"):
        command = commands.add_parser(name)
        command.add_argument("name", choices=sorted({name for name, _ in COMPARISONS}))
        command.add_argument("library", choices=sorted({library for _, library in COMPARISONS}))
        command.add_argument("data", type=Path, help="folder of all data sets; for ml_100k, the wheel that holds it")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--set", dest="settings", action="append", default=[], help="NAME=VALUE of the settings")
        if name == "peer":
            command.add_argument("--python", type=Path, required=True, help="of the peer's environment")
    table = commands.add_parser("table")
    table.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.command == "table":
        return report(figures(load()), as_json=options.json)
    comparison = COMPARISONS[options.name, options.library]
    (measure_peer if options.command == "peer" else measure_ours)(options, comparison)
    return 0


def measure_peer(options: argparse.Namespace, comparison: Comparison) -> None:
    """Let the peer train until nothing gets better or its time is spent, keeping the curve after every epoch."""
    asked = _Asked(options.name, options.data, _recipe(comparison, options.seed, []))
    settings = {
        **comparison.architecture,
        **comparison.peer,
        "budget_seconds": comparison.budget_seconds,
        **dict(_setting(text) for text in options.settings),
        "seed": options.seed,
    }
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked.write(folder)
        (folder / "settings.json").write_text(json.dumps(settings))
        for point in _points(_start(options, folder), folder, asked):
            points.append(point)
            print(options.name, options.library, point, flush=True)
            is_finished = is_over(points, patience=comparison.patience)
            if is_finished:
                (folder / "stop").touch()
            versions = json.loads((folder / "versions.json").read_text())
            keep(_curve(options, asked, points, settings, versions, is_finished=is_finished))


def _start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("training_peers.py")
    command = (options.python.absolute(), script, options.library, folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    return subprocess.Popen(command, env=environment, cwd=folder)


def _points(started: subprocess.Popen[bytes], folder: Path, asked: _Asked) -> Iterator[Point]:
    """Yield a point after every epoch, until the peer ends."""
    count = 0
    with started as peer:
        while peer.poll() is None or _count_lines(folder) > count:
            if _count_lines(folder) == count:
                time.sleep(1)
                continue
            yield _point(folder, count, asked)
            count += 1
    if peer.returncode:
        raise SystemExit(f"the peer ended with code {peer.returncode}; what it said stands above.")


def measure_ours(options: argparse.Namespace, comparison: Comparison) -> None:
    """Train until the peer's best is reached, or patience ends, and keep the curve."""
    peer = best_peer(load(), options.name, options.library)
    if peer is None:
        raise SystemExit(f"no curve of {options.library} on {options.name} is kept. Run the command `peer` first.")
    recipe = _recipe(comparison, options.seed, options.settings)
    asked = _Asked(options.name, options.data, recipe)
    watch = _Watch(best(peer.points).ndcg_at_10)
    with contextlib.suppress(_ReachedError):
        train(recipe, asked.split, checkpoint_folder=None, seed=options.seed, on_epoch=watch.judged, on_step=watch.step)
    is_half = is_bfloat16(recipe.trainer.precision, torch.device("cpu"))
    settings = {
        "model": dict(recipe.model.config),
        "trainer": recipe.trainer.model_dump(mode="json"),
        "products": "bfloat16" if is_half else "float32",
    }
    versions = {"python": platform.python_version(), "torch": version("torch")}
    keep(_curve(options, asked, watch.points, settings, versions, is_finished=watch.is_reached))


class _ReachedError(Exception):
    """Training is stopped: it is as good as the peer."""


class _Watch:
    """Takes the time of training's steps, not of its validation."""

    def __init__(self, wanted: float) -> None:
        self.points: list[Point] = []
        self.is_reached = False
        self._wanted = wanted
        self._spent = 0.0
        self._since = self._last = time.process_time()

    def step(self, *_: int) -> None:
        """Note the end of a step."""
        self._last = time.process_time()

    def judged(self, epoch: EpochMetrics) -> None:
        """Add a point, and stop where it is as good as wanted."""
        self._spent += self._last - self._since
        self.points.append(_rounded(epoch.epoch, self._spent, epoch.ndcg_at_10, os.getloadavg()[0]))
        print(self.points[-1], flush=True)
        self.is_reached = self.points[-1].ndcg_at_10 >= self._wanted
        if self.is_reached:
            raise _ReachedError
        self._since = time.process_time()


def _curve(
    options: argparse.Namespace,
    asked: _Asked,
    points: Sequence[Point],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    is_finished: bool,
) -> Curve:
    loss = settings["model"]["loss"] if "model" in settings else settings["loss"]
    given = [
        "python -m benchmarks.training_curves",
        options.command,
        options.name,
        options.library,
        "DATA",
        f"--seed {options.seed}",
        *(f"--set {shlex.quote(text)}" for text in options.settings),
    ]
    return Curve(
        data=options.name,
        library=options.library if options.command == "peer" else OURS,
        against=options.library,
        loss=loss,
        is_finished=is_finished,
        points=tuple(points),
        queries=len(asked.split.validation),
        items=len(asked.split.vocabulary),
        settings=settings,
        versions=versions,
        processor=_processor(),
        command=" ".join(given),
        commit=asked.commit,
        date=datetime.now(UTC).isoformat(timespec="minutes"),
    )


def _recipe(comparison: Comparison, seed: int, settings: Sequence[str]) -> Recipe:
    recipe = parse_recipe(
        {
            "name": "sasrec",
            "model": {"name": "sasrec", "config": dict(comparison.architecture)},
            "split": {"kind": "leave_one_out"},
            "trainer": {"epochs": 200, "patience": 10},
            "seed": seed,
        }
    )
    return override(recipe, [*comparison.ours, *settings])


def _tables(name: str, data: Path) -> Tables:
    if name != "ml_100k":
        return read_tables(name, data)
    tables: Tables = SOURCES.get("movielens")(data)
    return tables


def _some(queries: Queries, *, seed: int) -> Queries:
    """Choose as many queries as training looks at, so that every epoch of either side is asked the same."""
    if len(queries) <= _MOST_QUERIES:
        return queries
    rows = np.sort(np.random.default_rng(seed).choice(len(queries), _MOST_QUERIES, replace=False))
    return Queries(
        histories=queries.histories.take(rows),
        targets=queries.targets.take(rows),
        user_ids=queries.user_ids[rows],
        surfaces=queries.surfaces[rows],
        is_new_user=queries.is_new_user[rows],
        is_order_only=queries.is_order_only,
    )


def _count_lines(folder: Path) -> int:
    file = folder / "epochs.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def _point(folder: Path, number: int, asked: _Asked) -> Point:
    said = json.loads((folder / "epochs.jsonl").read_text().splitlines()[number])
    lists = np.load(folder / f"lists_{said['epoch']:03}.npy")
    return _rounded(said["epoch"], said["cpu_seconds"], asked.judge(lists), said["load"])


def _rounded(epoch: int, cpu_seconds: float, ndcg_at_10: float, load: float) -> Point:
    return Point(epoch, round(cpu_seconds, 2), round(ndcg_at_10, 5), round(load, 1))


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
