"""Rankers compared on exposures: `python -m benchmarks.ranking_quality run|table DATA --out RUNS`.

    python -m benchmarks.ranking_quality run ../shared/data --out runs --variants pepnet one_model_a_tab --trials 10
    python -m benchmarks.ranking_quality run ../shared/data --out runs --variants mmoe sar --like pepnet
    python -m benchmarks.ranking_quality run ../shared/data --out runs --variants pepnet --trials 10 --seeds 0 1 2
    python -m benchmarks.ranking_quality table ../shared/data --out runs --keep benchmarks/results/ranking_quality.json

`run` tries settings (`benchmarks.ranking_variants`) and judges them on the validation part alone, by the mean GAUC over
tabs and tasks; the best one then predicts the test part, which `table` judges. `--like` does not tune, but takes the
settings that another variant's trials chose. The first seed is that of the trials; of others the chosen trial alone is
trained. Every training is kept in a folder of its own and not repeated, so that an interrupted list goes on.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks import ranking_table
from benchmarks.commit import commit_of_tree
from benchmarks.ranking_data import DATA, read_parts
from benchmarks.ranking_runs import Folder, chosen_trial
from benchmarks.ranking_variants import VARIANTS, WATCH, Variant, each, network_of, restrict, settings_of, trainer_of
from recmodels.evaluation.ranking_metrics import grouped_auc, xauc
from recmodels.ranking.examples import Examples
from recmodels.ranking.network import RankingNetwork
from recmodels.ranking.parts import RankingParts
from recmodels.ranking.predictions import Predictions, log_loss
from recmodels.ranking.training import Metric, predict, train_ranker

MINIMUM_USERS = 50
"""Users with both labels from which on a tab and task is in the mean of the validation part."""


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        data: Name of the data set.
        variant: Name of the variant.
        part: The tab or task that it is of, or all.
        trial: Number of the draw.
        seed: Of weights and batches.
        settings: What the draw was.
        rows: Training rows.
        best: Epoch that was kept.
        validation: Its figure.
        curve: Number, training loss and validation figure of each epoch.
        cpu_seconds: Of the training, validation included.
        load: One-minute load of the machine when it ended.
        commit: Of the code, with ``+`` where files differed from it.
        date: When it ended (UTC).
    """

    data: str
    variant: str
    part: str
    trial: int
    seed: int
    settings: Mapping[str, Any]
    rows: int
    best: int
    validation: float
    curve: tuple[tuple[int, float, float], ...]
    cpu_seconds: float
    load: float
    commit: str
    date: str


def main(arguments: list[str] | None = None) -> int:
    """Run what is not there yet, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("folder", type=Path, help="folder of all data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data", nargs="+", choices=tuple(DATA), default=["kuairand"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="run: names; all where left out")
    parser.add_argument("--trials", type=int, default=1, help="run: settings tried by each variant; the first is fixed")
    parser.add_argument("--like", help="run: take the settings that this variant chose, without tuning")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="run: the first one tunes")
    parser.add_argument("--keep", type=Path, help="table: write every figure and learning curve into this JSON file")
    parser.add_argument(
        "--minimum-users", type=int, default=100, help="table: users of both labels that a task and tab needs in a mean"
    )
    options = parser.parse_args(arguments)
    if options.action == "table":
        return ranking_table.tell(
            options.data,
            folder=options.folder,
            out=options.out,
            keep=options.keep,
            minimum_users=options.minimum_users,
        )
    for data in options.data:
        parts = read_parts(data, options.folder)
        for name, variant in each(options.variants):
            _run(Run(data, name, variant, parts, options.out), options)
    return 0


@dataclass(frozen=True, eq=False)
class Run:
    """A variant on a data set."""

    data: str
    name: str
    variant: Variant
    parts: RankingParts
    out: Path

    def folder(self, part: str, trial: int, seed: int) -> Folder:
        """Return where a training is kept."""
        return Folder(self.out, self.data, self.name, part, trial, seed)


def _run(run: Run, options: argparse.Namespace) -> None:
    first, *others = options.seeds
    names = run.variant.parts(run.parts.train)
    trials = range(options.trials)
    if options.like:
        trials = [chosen_trial(options.out, run.data, options.like, part=None, seed=first)]
    for trial in trials:
        for part in names:
            _train(run, part, trial, first)
    for part in names:
        best = chosen_trial(options.out, run.data, run.name, part=part, seed=first)
        for seed in (first, *others):
            _train(run, part, best, seed)
            _predict_test(run, part, best, seed)


def _train(run: Run, part: str, trial: int, seed: int) -> None:
    folder = run.folder(part, trial, seed)
    if folder.result.exists():
        return
    settings, division = settings_of(trial), run.variant.division
    train, validation = (restrict(one, part, division) for one in (run.parts.train, run.parts.validation))
    began = time.process_time()
    trained = train_ranker(
        network_of(run.variant, part, settings),
        train,
        validation,
        trainer=trainer_of(settings),
        seed=seed,
        metric=_watch_metric if part == WATCH else validation_metric(validation),
    )
    seconds = time.process_time() - began
    folder.path.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in trained.network.state_dict().items()}, folder.weights)
    folder.save_predictions("validation", trained.validation)
    found = Training(
        data=run.data,
        variant=run.name,
        part=part,
        trial=trial,
        seed=seed,
        settings=settings,
        rows=len(train),
        best=trained.best,
        validation=trained.curve[trained.best - 1].metric,
        curve=tuple((one.number, round(one.loss, 5), round(one.metric, 5)) for one in trained.curve),
        cpu_seconds=round(seconds, 1),
        load=round(os.getloadavg()[0], 1),
        commit=commit_of_tree(),
        date=datetime.now(UTC).isoformat(timespec="minutes"),
    )
    folder.result.write_text(json.dumps(asdict(found), indent=1))
    print(f"{folder.path}: {found.validation:.4f} at epoch {found.best}, {seconds:.0f} CPU-s", flush=True)


def _predict_test(run: Run, part: str, trial: int, seed: int) -> None:
    folder = run.folder(part, trial, seed)
    if folder.predictions("test").exists():
        return
    test = restrict(run.parts.test, part, run.variant.division)
    network = RankingNetwork(test.spec, network_of(run.variant, part, settings_of(trial)))
    network.load_state_dict(load_file(folder.weights))
    torch.set_num_threads(1)
    folder.save_predictions("test", predict(network, test))


def validation_metric(validation: Examples) -> Metric:
    """Return the mean GAUC over tabs and tasks with enough users; the negated log loss where none has.

    Which of them it is is a matter of the rows alone, so that all trials are judged by the same.
    """
    cells = []
    for surface in range(1, len(validation.spec.surfaces)):
        rows = np.flatnonzero(validation.surfaces == surface)
        for task in range(len(validation.spec.tasks)):
            labels, users = validation.labels[rows, task], validation.users[rows]
            if len(rows) and len(grouped_auc(labels, np.zeros(len(rows)), users).users) >= MINIMUM_USERS:
                cells.append((rows, task))

    def judge(examples: Examples, predictions: Predictions) -> float:
        if not cells:
            return -log_loss(examples.labels, predictions.probabilities)
        logits = predictions.logits
        found = [grouped_auc(examples.labels[r, t], logits[r, t], examples.users[r]).mean for r, t in cells]
        return float(np.mean(found))

    return judge


def _watch_metric(examples: Examples, predictions: Predictions) -> float:
    return xauc(examples.watch_seconds, predictions.watch)


if __name__ == "__main__":
    sys.exit(main())
