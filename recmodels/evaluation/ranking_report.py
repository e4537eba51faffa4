"""A ranker judged on exposures: figures of each head, on all surfaces and on each, and two rankers compared."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.comparison import Comparison
from recmodels.evaluation.ranking_metrics import (
    Floats,
    GroupedAuc,
    auc,
    grouped_auc,
    log_loss,
    mean_absolute_error,
    reliability,
    xauc,
)
from recmodels.ranking.examples import Examples

ALL_SURFACES = "all"
"""What figures over every surface are said to be of."""
MEAN_GAUC = "mean_gauc"


@dataclass(frozen=True)
class HeadFigures:
    """How well one task is predicted on one surface.

    Attributes:
        task: Name of the label.
        surface: Name of the surface, or `ALL_SURFACES`.
        rows: Exposures with a known label.
        positives: Those of them that are positive.
        auc: Chance that a positive is above a negative.
        gauc: The same within users, weighted by their exposures.
        users: Users with both labels, whom `gauc` is over.
        share_of_users: Their share of the users.
        share_of_rows: Their share of the rows.
        log_loss: Mean negative log-likelihood.
        ece: Expected calibration error in 15 bins of equal mass.
    """

    task: str
    surface: str
    rows: int
    positives: int
    auc: float
    gauc: float
    users: int
    share_of_users: float
    share_of_rows: float
    log_loss: float
    ece: float


@dataclass(frozen=True)
class WatchFigures:
    """How well watch time is predicted on one surface.

    Attributes:
        surface: Name of the surface, or `ALL_SURFACES`.
        rows: Exposures with a known watch time.
        mae: Mean absolute error in seconds.
        xauc: Share of pairs of unlike watch times that are ordered right.
    """

    surface: str
    rows: int
    mae: float
    xauc: float


@dataclass(frozen=True)
class RankingFigures:
    """Every figure of a ranker.

    Attributes:
        heads: One a task and surface, all surfaces first.
        watch: One a surface, all surfaces first; empty where no watch time is predicted.
    """

    heads: tuple[HeadFigures, ...]
    watch: tuple[WatchFigures, ...]

    @property
    def mean_gauc(self) -> float:
        """Mean GAUC of the tasks over all surfaces; those that no user has both labels of are left out."""
        values = [head.gauc for head in self.heads if head.surface == ALL_SURFACES]
        return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan

    def metrics(self) -> dict[str, float]:
        """Return the finite figures by name, such as ``clicked_gauc`` or ``tab_1_clicked_gauc``."""
        found = {MEAN_GAUC: self.mean_gauc}
        for head in self.heads:
            start = head.task if head.surface == ALL_SURFACES else f"{head.surface}_{head.task}"
            found |= {f"{start}_{name}": getattr(head, name) for name in ("auc", "gauc", "log_loss", "ece")}
        for watch in self.watch:
            start = "watch" if watch.surface == ALL_SURFACES else f"{watch.surface}_watch"
            found |= {f"{start}_mae": watch.mae, f"{start}_xauc": watch.xauc}
        return {name: value for name, value in found.items() if np.isfinite(value)}


@dataclass(frozen=True)
class GaucCell:
    """Two rankers on one task and surface.

    Attributes:
        task: Name of the label.
        surface: Name of the surface, or `ALL_SURFACES`.
        users: Users with both labels.
        candidate: The candidate's GAUC.
        baseline: The baseline's.
    """

    task: str
    surface: str
    users: int
    candidate: float
    baseline: float


@dataclass(frozen=True)
class GaucComparison:
    """Two rankers in mean GAUC, paired over users.

    Attributes:
        cells: What the mean is over.
        overall: The comparison of the means.
    """

    cells: tuple[GaucCell, ...]
    overall: Comparison


def judge_ranking(examples: Examples, probabilities: Floats, watch: Floats | None = None) -> RankingFigures:
    """Return the figures of predictions.

    Args:
        examples: What was predicted; N exposures, T tasks.
        probabilities: ``(N, T)`` between 0 and 1.
        watch: ``(N,)`` expected seconds, where they are predicted.

    Raises:
        ValueError: The shapes differ, or a prediction of a labelled exposure is no probability.
    """
    _check_shape(examples, probabilities)
    heads, seconds = [], []
    for surface, rows in _surfaces(examples):
        users = examples.users[rows]
        for column, task in enumerate(examples.spec.tasks):
            heads.append(_head(task, surface, examples.labels[rows, column], probabilities[rows, column], users))
        if watch is not None:
            seconds.append(_watch(surface, examples.watch_seconds[rows], watch[rows]))
    return RankingFigures(tuple(heads), tuple(seconds))


def compare_gauc(
    examples: Examples,
    candidate: Floats,
    baseline: Floats,
    *,
    by_surface: bool,
    samples: int,
    confidence: float,
    seed: int,
    minimum_users: int = 30,
) -> GaucComparison:
    """Compare two rankers in mean GAUC by a paired bootstrap over users.

    Each sample draws users once, and takes all their exposures under both rankers and all tasks; a user's AUC is the
    same whoever else is drawn, only its weight changes.

    Args:
        examples: What was predicted.
        candidate: ``(N, T)`` scores of the new ranker; only their order counts.
        baseline: ``(N, T)`` scores of the other.
        by_surface: The mean is over tasks and surfaces (users' exposures on one surface are compared with each
            other, the pooled surfaces left out) rather than over tasks alone.
        samples: Bootstrap samples.
        confidence: Coverage of the interval.
        seed: Fixes the draws.
        minimum_users: Cells with fewer users of both labels are left out of the mean.

    Raises:
        ValueError: The shapes differ, a score is not finite, or no cell has enough users.
    """
    for scores in (candidate, baseline):
        _check_shape(examples, scores)
    cells, pairs = [], []
    for surface, rows in _surfaces(examples):
        if (surface != ALL_SURFACES) != by_surface or surface == examples.spec.surfaces[0]:
            continue
        for column, task in enumerate(examples.spec.tasks):
            labels, users = examples.labels[rows, column], examples.users[rows]
            pair = [grouped_auc(labels, scores[rows, column], users) for scores in (candidate, baseline)]
            if len(pair[0].users) >= minimum_users:
                cells.append(GaucCell(task, surface, len(pair[0].users), pair[0].mean, pair[1].mean))
                pairs.append(pair)
    if not cells:
        raise ValueError(
            f"no task has {minimum_users} users with both labels among {len(examples)} exposures; judge more exposures "
            "or lower minimum_users."
        )
    num_users = len(np.unique(examples.users))
    overall = _overall(cells, pairs, num_users, samples=samples, confidence=confidence, seed=seed)
    return GaucComparison(tuple(cells), overall)


def _overall(
    cells: list[GaucCell],
    pairs: list[list[GroupedAuc]],
    num_users: int,
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> Comparison:
    users = np.unique(np.concatenate([pair[0].users for pair in pairs]))
    sums = np.zeros((len(users), 3, len(pairs)))  # exposures x AUC of both rankers, and exposures
    for cell, (one, other) in enumerate(pairs):
        rows = np.searchsorted(users, one.users)
        sums[rows, 0, cell], sums[rows, 1, cell] = one.exposures * one.values, other.exposures * other.values
        sums[rows, 2, cell] = one.exposures
    drawn = bootstrap_means(sums.reshape(len(users), -1), samples=samples, seed=seed).reshape(samples, 3, -1)
    gains = np.divide(drawn[:, 0] - drawn[:, 1], drawn[:, 2], out=np.zeros(drawn[:, 2].shape), where=drawn[:, 2] > 0)
    means = gains.sum(axis=1) / np.maximum((drawn[:, 2] > 0).sum(axis=1), 1)  # (S,)
    interval = percentile_interval(means, confidence=confidence)
    candidate, baseline = (float(np.mean([getattr(c, name) for c in cells])) for name in ("candidate", "baseline"))
    return Comparison(
        metric=MEAN_GAUC,
        candidate=candidate,
        baseline=baseline,
        difference=candidate - baseline,
        lower=interval.lower,
        upper=interval.upper,
        relative=(candidate - baseline) / baseline if baseline else np.nan,
        num_users=len(users),
        num_left_out=num_users - len(users),
        probability_better=float((means > 0).mean() + (means == 0).mean() / 2),
        confidence=confidence,
        is_same_queries=True,
    )


def _surfaces(examples: Examples) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Give the rows of all surfaces, then of each that has any."""
    yield ALL_SURFACES, np.arange(len(examples))
    for number, name in enumerate(examples.spec.surfaces):
        rows = np.flatnonzero(examples.surfaces == number)
        if len(rows):
            yield name, rows


def _head(task: str, surface: str, labels: Floats, scores: Floats, users: NDArray[np.int32]) -> HeadFigures:
    grouped = grouped_auc(labels, scores, users)
    return HeadFigures(
        task=task,
        surface=surface,
        rows=grouped.num_rows,
        positives=int(np.nansum(labels)),
        auc=auc(labels, scores),
        gauc=grouped.mean,
        users=len(grouped.users),
        share_of_users=grouped.share_of_users,
        share_of_rows=grouped.share_of_rows,
        log_loss=log_loss(labels, scores),
        ece=reliability(labels, scores).error,
    )


def _watch(surface: str, watched: Floats, expected: Floats) -> WatchFigures:
    rows = len(watched) - int(np.isnan(watched).sum())
    return WatchFigures(surface, rows, mean_absolute_error(watched, expected), xauc(watched, expected))


def _check_shape(examples: Examples, scores: Floats) -> None:
    if scores.shape != examples.labels.shape:
        raise ValueError(
            f"predictions of shape {scores.shape} do not fit {len(examples)} exposures with tasks "
            f"{', '.join(examples.spec.tasks)}; expected {examples.labels.shape}."
        )
