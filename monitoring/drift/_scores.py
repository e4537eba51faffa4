"""Figures of scores: their distribution, whether they keep their promise, and the rate that they foretell.

A calibrator learns from a model's first matured days what a score is worth. Observed over foretold is then the
calibration; the foretold rate stands in for the observed one on days whose labels have not matured, as an estimate.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitoring.drift import _columns
from monitoring.drift._rows import Rows, divide, sums
from monitoring.drift.series import Array, Scale, Series

ESTIMATE = "estimated_rate"
"""Name of the figure that is an estimate."""

CALIBRATION = "calibration"
"""Name of the figure that says whether the estimate can be trusted."""

_BINS = 20


@dataclass(frozen=True)
class Labels:
    """What came of each impression.

    Attributes:
        reward: (E,) 1 where the outcome happened within its window, else 0.
        is_mature: (E,) the window has closed.
        name: The outcome, such as ``"clicked"``.
    """

    reward: Array
    is_mature: NDArray[np.bool_]
    name: str


@dataclass(frozen=True)
class Calibrator:
    """A step function from score to rate, never falling.

    Attributes:
        edges: (B - 1,) scores between the bins.
        rates: (B,) rate of each bin.
    """

    edges: Array
    rates: Array

    def predict(self, scores: Array) -> Array:
        """Return the rate that each score foretells, (E,); NaN for a score that is not finite."""
        rates = self.rates[np.searchsorted(self.edges, np.nan_to_num(scores), side="right")]
        return np.where(np.isfinite(scores), rates, np.nan)


def fit_calibrator(scores: Array, reward: Array) -> Calibrator | None:
    """Learn what a score is worth from impressions that have matured; None from fewer than 20 with a finite score.

    Bins of equal size, made monotone by pooling adjacent violators.

    Source: Zadrozny and Elkan 2001 (binning) and 2002 (isotonic regression).
    """
    keep = np.isfinite(scores)
    scores, reward = scores[keep], reward[keep]
    if len(scores) < _BINS:
        return None
    edges = np.unique(np.quantile(scores, np.arange(1, _BINS) / _BINS))
    place = np.searchsorted(edges, scores, side="right")
    count = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    hits = sums(place, reward, days=len(edges) + 1)
    return Calibrator(edges, _monotone(hits, count))


def score_series(rows: Rows, scores: Array, keep: NDArray[np.bool_]) -> Iterator[Series]:
    """Yield mean and standard deviation of the scores of the impressions in `keep`."""
    usable = keep & np.isfinite(scores)
    mean = _columns.mean_of(rows, scores, usable, name="score_mean", scale=Scale.LEVEL, about="mean score")
    deviation = _columns.spread_of(
        rows, scores, usable, name="score_deviation", about="standard deviation of the scores"
    )
    yield replace(mean, family="model")
    yield replace(deviation, family="model")


def rate_series(rows: Rows, labels: Labels, *, keep: NDArray[np.bool_] | None = None, part: str = "") -> Series:
    """Return the rate of the outcome among impressions that have matured."""
    usable = labels.is_mature if keep is None else labels.is_mature & keep
    about = f"share of impressions {labels.name}"
    series = _columns.rate_of(rows, labels.reward, usable, name=f"{labels.name}_rate", about=about, part=part)
    return replace(series, family="model")


def promise_series(
    rows: Rows, scores: Array, labels: Labels, *, keep: NDArray[np.bool_], model: NDArray[np.int64], learning_days: int
) -> Iterator[Series]:
    """Yield observed over foretold, and the foretold rate, from each model's calibrator.

    Args:
        rows: One row an impression.
        scores: (E,) scores.
        labels: What came of them.
        keep: (E,) impressions that a model scored.
        model: (E,) number of the model that scored each.
        learning_days: First days of a model that its calibrator learns from; its figures start after them.
    """
    foretold = np.full(len(scores), np.nan)
    for number in np.unique(model[keep]):
        mine = keep & (model == number)
        start = rows.day[mine].min()
        teaches = mine & labels.is_mature & (rows.day < start + learning_days)
        calibrator = fit_calibrator(scores[teaches], labels.reward[teaches])
        if calibrator is not None:
            judged = mine & (rows.day >= start + learning_days)
            foretold[judged] = calibrator.predict(scores[judged])
    known = np.isfinite(foretold)
    judged = known & labels.is_mature
    observed = rows.by_day(np.where(judged, labels.reward, 0.0))
    promised = rows.by_day(np.where(judged, foretold, 0.0))
    ratio = divide(observed, promised)
    errors = np.nan_to_num(divide(np.sqrt(np.maximum(observed, 1.0)), promised))
    about = f"{labels.name}: observed over what the scores foretold"
    yield Series(CALIBRATION, "model", Scale.AMOUNT, ratio, rows.by_day(judged), errors, about=about)
    count = rows.by_day(known)
    estimate = divide(rows.by_day(np.where(known, foretold, 0.0)), count)
    about = f"estimate, before labels mature: share of impressions {labels.name}, from calibrated scores"
    yield Series(ESTIMATE, "model", Scale.SHARE, estimate, count, about=about)


def _monotone(hits: Array, count: Array) -> Array:
    """Return rates that never fall, by pooling adjacent violators; empty bins take the rate of their block."""
    blocks: list[list[float]] = []  # hits, impressions, bins
    for hit, number in zip(hits.tolist(), count.tolist(), strict=True):
        blocks.append([hit, number, 1.0])
        while len(blocks) > 1 and _rate(blocks[-2]) >= _rate(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return np.repeat([_rate(block) for block in blocks], [int(block[2]) for block in blocks])


def _rate(block: list[float]) -> float:
    return block[0] / block[1] if block[1] else 0.0
