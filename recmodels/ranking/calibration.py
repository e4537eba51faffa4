"""Predictions that mean what they say: rising curves of probabilities and of seconds, fitted on validation rows."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.ranking.examples import Examples, FeatureSpec

_STEPS: Final = 50
_PRIOR: Final = 1.0
_FEWEST: Final = 50
_CLOSE: Final = 1e-8
_IDENTITY: Final = (1.0, 1.0, 0.0)
_BINS: Final = 100
"""Bins of equal mass that expected seconds are put into before they are made to rise."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """logit(p') = a ln p - b ln(1 - p) + c, with a and b at least 0 and not both 0.

    The curve rises, so that the order within a surface stays. Source: Kull, Silva Filho and Flach 2017 (beta
    calibration), whose sigmoid is Platt's where a = b.

    Attributes:
        curves: (S, T, 3) a, b and c of each surface and task.
        seconds: (2, K) rising expected seconds and what they stand for; K is 0 where they stay as they are.
    """

    curves: NDArray[np.float32]
    seconds: NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 0), np.float32))

    @classmethod
    def none(cls, spec: FeatureSpec) -> "Calibration":
        """Return the identity."""
        return cls(np.tile(np.array(_IDENTITY, np.float32), (len(spec.surfaces), len(spec.tasks), 1)))

    @classmethod
    def fit(
        cls, examples: Examples, logits: NDArray[np.float32], watch: NDArray[np.float32] | None = None
    ) -> "Calibration":
        """Fit every task over all surfaces, then each surface with at least 50 rows of both classes for itself.

        A surface's curve is drawn towards the task's, and the task's towards the identity, by a normal prior of
        variance 1 on each parameter, which a few hundred rows outweigh. Other surfaces, 0 among them, take the task's.

        Seconds get one curve over all surfaces: isotonic regression on 100 bins of equal mass, straight between the
        means of its blocks, so that predictions that differ still do. From 50 rows of known seconds on.

        Args:
            examples: Rows that the network was not trained on.
            logits: (N, T) of the network.
            watch: (N,) its expected seconds; None or NaN where nothing predicts them.
        """
        curves = cls.none(examples.spec).curves.astype(np.float64)
        for task in range(curves.shape[1]):
            labels = examples.labels[:, task]
            rows = np.flatnonzero(np.isfinite(labels))
            values, truth = logits[rows, task].astype(np.float64), labels[rows]
            if _suffice(truth):
                curves[:, task] = _fitted(values, truth, prior=np.array(_IDENTITY))
            for surface in range(1, len(curves)):
                own = examples.surfaces[rows] == surface
                if _suffice(truth[own]):
                    curves[surface, task] = _fitted(values[own], truth[own], prior=curves[surface, task])
        seconds = np.full(len(logits), np.nan, np.float32) if watch is None else watch
        return cls(curves.astype(np.float32), _fitted_seconds(seconds, examples.watch_seconds))

    def apply(self, logits: NDArray[np.float32], surfaces: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return calibrated logits, (N, T).

        Args:
            logits: (N, T).
            surfaces: (N,) below S.
        """
        a, b, c = np.moveaxis(self.curves[surfaces], -1, 0)  # (N, T) each
        of_no = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))  # -ln(1 - p), and -ln p is that less z
        calibrated: NDArray[np.float32] = a * (logits - of_no) + b * of_no + c
        return calibrated

    def apply_seconds(self, watch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return calibrated expected seconds, (N,), of those at least 0; beyond the curve they grow in proportion."""
        if not self.seconds.shape[1]:
            return watch
        told, meant = np.concatenate([np.zeros((2, 1), np.float32), self.seconds], axis=1)
        inside = np.interp(watch, told, meant)
        calibrated: NDArray[np.float32] = np.where(watch > told[-1], watch * (meant[-1] / told[-1]), inside)
        return calibrated.astype(np.float32)


def _suffice(truth: NDArray[np.float32]) -> bool:
    positives = int((truth > 0.5).sum())
    return min(positives, len(truth) - positives) >= _FEWEST


def _fitted(
    logits: NDArray[np.float64], truth: NDArray[np.float32], *, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a, b and c: with both slopes free, and where one of them is negative with that one at 0."""
    columns = np.stack([-np.logaddexp(0, -logits), np.logaddexp(0, logits), np.ones(len(logits))], axis=1)  # (M, 3)
    free = np.ones(3, np.bool_)
    for _ in range(2):
        curve = np.where(free, prior, 0.0)
        curve[free] = _newton(columns[:, free], truth, prior=prior[free])
        if (curve[:2] >= 0).all() and curve[:2].any():
            return curve
        free[int(np.argmin(curve[:2]))] = False
    return prior  # the labels fall where the scores rise: no rising curve mends that


def _newton(
    columns: NDArray[np.float64], truth: NDArray[np.float32], *, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the weights of a logistic regression under a normal prior, which makes it strictly convex."""
    weights = prior.copy()
    best = _cost(columns, truth, weights, prior)
    for _ in range(_STEPS):
        rates = 1 / (1 + np.exp(-(columns @ weights).clip(-60, 60)))
        slope = columns.T @ (rates - truth) + (weights - prior) / _PRIOR
        curvature = (columns * (rates * (1 - rates))[:, None]).T @ columns + np.eye(len(weights)) / _PRIOR
        step = np.linalg.solve(curvature, slope)
        while (cost := _cost(columns, truth, weights - step, prior)) > best and np.abs(step).max() > _CLOSE:
            step /= 2
        if cost > best - _CLOSE:
            break
        weights, best = weights - step, cost
    return weights


def _cost(
    columns: NDArray[np.float64], truth: NDArray[np.float32], weights: NDArray[np.float64], prior: NDArray[np.float64]
) -> float:
    values = columns @ weights
    return float((np.logaddexp(0, values) - truth * values).sum() + ((weights - prior) ** 2).sum() / (2 * _PRIOR))


def _fitted_seconds(watch: NDArray[np.float32], watched: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the knots of the rising curve that is nearest to the seconds watched, (2, K)."""
    rows = np.flatnonzero(np.isfinite(watch) & np.isfinite(watched))
    rows = rows[np.argsort(watch[rows], kind="stable")]
    if len(rows) < _FEWEST or watch[rows[-1]] <= 0:
        return np.zeros((2, 0), np.float32)
    blocks: list[NDArray[np.float64]] = []  # sums of told and watched seconds, and rows
    for part in np.split(rows, _edges(watch[rows])):
        blocks.append(np.array([watch[part].sum(), watched[part].sum(), len(part)], np.float64))
        while len(blocks) > 1 and not _rises(blocks[-2], blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    told, meant, count = np.array(blocks).T
    is_above = told > 0  # the curve begins at (0, 0)
    return np.stack([told / count, meant / count])[:, is_above].astype(np.float32)


def _edges(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return where each bin but the first begins; equal values stand in one bin, the later one."""
    cuts = np.arange(1, _BINS) * len(values) // _BINS
    begins = np.unique(np.searchsorted(values, values[cuts]))
    return begins[begins > 0]


def _rises(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether both means of the later block are above those of the one before, so that no value is told twice."""
    return bool((other[:2] / other[2] > one[:2] / one[2] + _CLOSE).all())
