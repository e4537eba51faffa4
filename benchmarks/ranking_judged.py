"""Trainings of `benchmarks.ranking_quality` put together to rankers, calibrated, and judged on the test part.

A ranker's parts (tabs or tasks) are the trials that the validation part chose. Calibration is fitted on the validation
part and applied to the test part, for every variant alike.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ranking_runs import Folder, chosen_trial
from benchmarks.ranking_variants import VARIANTS, WATCH, WHOLE, rows_of
from recmodels.evaluation.ranking_metrics import mean_absolute_error, reliability
from recmodels.evaluation.ranking_report import ALL_SURFACES, RankingFigures, compare_gauc, judge_ranking
from recmodels.ranking.calibration import Calibration
from recmodels.ranking.examples import Examples
from recmodels.ranking.parts import RankingParts
from recmodels.ranking.predictions import Predictions

_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Ranker:
    """A variant of one seed on the test part.

    Attributes:
        variant: Its name.
        seed: Of its trainings.
        trainings: Facts of the chosen one of each part.
        trials: Trainings of this variant and seed, those not chosen included, by part.
        raw: Predictions before calibration.
        predictions: Calibrated ones.
        test: What they are of.
    """

    variant: str
    seed: int
    trainings: tuple[Mapping[str, Any], ...]
    trials: int
    raw: Predictions
    predictions: Predictions
    test: Examples

    @cached_property
    def figures(self) -> RankingFigures:
        """Calibrated."""
        return judge_ranking(self.test, self.predictions.probabilities, self.predictions.watch)

    @cached_property
    def raw_eces(self) -> Mapping[tuple[str, str], float]:
        """Expected calibration error before calibration, by surface and task."""
        found, probabilities = {}, self.raw.probabilities
        for surface in {head.surface for head in self.figures.heads}:
            rows = np.arange(len(self.test)) if surface == ALL_SURFACES else rows_of(self.test, surface)
            for column, task in enumerate(self.test.spec.tasks):
                labels = self.test.labels[rows, column]
                found[surface, task] = reliability(labels, probabilities[rows, column]).error
        return found

    @cached_property
    def raw_maes(self) -> Mapping[str, float]:
        """Mean absolute error of watch time before calibration, by surface."""
        found = {}
        for surface in {watch.surface for watch in self.figures.watch}:
            rows = np.arange(len(self.test)) if surface == ALL_SURFACES else rows_of(self.test, surface)
            found[surface] = mean_absolute_error(self.test.watch_seconds[rows], self.raw.watch[rows])
        return found

    def mean_gauc(self, *, by_surface: bool, minimum_users: int) -> float:
        """Return the mean over the tasks, or the tasks and tabs, with enough users; as `compare_gauc` has it."""
        other = self.test.spec.surfaces[0]
        cells = [
            head.gauc
            for head in self.figures.heads
            if head.users >= minimum_users and (head.surface != ALL_SURFACES) == by_surface and head.surface != other
        ]
        return float(np.mean(cells)) if cells else np.nan


def rankers(out: Path, data: str, parts: RankingParts) -> list[Ranker]:
    """Return every variant and seed whose parts have all predicted the test part, in the order of `VARIANTS`."""
    found = []
    for name in VARIANTS:
        names = VARIANTS[name].parts(parts.train)
        folders = [sorted((out / data / name / part).glob("trial-*-seed-*/test.npz")) for part in names]
        if not all(folders):
            continue
        seeds = sorted({int(path.parent.name.split("-")[-1]) for path in folders[0]})
        trials = {part: chosen_trial(out, data, name, part=part, seed=seeds[0]) for part in names}
        for seed in seeds:
            chosen = [Folder(out, data, name, part, trials[part], seed) for part in names]
            if all(folder.predictions("test").exists() for folder in chosen):
                found.append(_ranker(chosen, parts))
    return found


def _ranker(folders: list[Folder], parts: RankingParts) -> Ranker:
    first = folders[0]
    division = VARIANTS[first.variant].division
    validation = _together(folders, "validation", parts.validation, division)
    raw = _together(folders, "test", parts.test, division)
    calibration = Calibration.fit(parts.validation, validation.logits, validation.watch)
    calibrated = Predictions(calibration.apply(raw.logits, parts.test.surfaces), calibration.apply_seconds(raw.watch))
    tried = (first.out / first.data / first.variant).glob(f"{first.part}/trial-*-seed-{first.seed}/result.json")
    return Ranker(
        variant=first.variant,
        seed=first.seed,
        trainings=tuple(json.loads(folder.result.read_text()) for folder in folders),
        trials=len(list(tried)),
        raw=raw,
        predictions=calibrated,
        test=parts.test,
    )


def _together(folders: list[Folder], which: str, examples: Examples, division: str) -> Predictions:
    logits = np.full(examples.labels.shape, np.nan, np.float32)
    watch = np.full(len(examples), np.nan, np.float32)
    for folder in folders:
        found, part = folder.load_predictions(which), folder.part
        if division == "task":
            if part == WATCH:
                watch = found.watch
            else:
                logits[:, examples.spec.tasks.index(part)] = found.logits[:, 0]
            continue
        rows = np.arange(len(examples)) if part == WHOLE else rows_of(examples, part)
        logits[rows], watch[rows] = found.logits, found.watch
    assert np.isfinite(logits).all(), f"{folders[0].variant} leaves rows of the {which} part without a prediction"
    return Predictions(logits, watch)


def against(candidate: Ranker, baseline: Ranker, *, by_surface: bool, minimum_users: int) -> dict[str, Any]:
    """Return the difference in mean GAUC, paired over users: figures, 95 % interval and the cells it is over."""
    found = compare_gauc(
        candidate.test,
        candidate.predictions.probabilities,
        baseline.predictions.probabilities,
        by_surface=by_surface,
        samples=_SAMPLES,
        confidence=0.95,
        seed=candidate.seed,
        minimum_users=minimum_users,
    )
    names = ("candidate", "baseline", "difference", "lower", "upper", "num_users")
    return {name: getattr(found.overall, name) for name in names} | {"cells": [asdict(cell) for cell in found.cells]}
