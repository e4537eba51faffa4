"""Metrics of predictions on exposures: does it order them, is it calibrated, how far is watch time off.

All are vectorised over rows and exact, ties included; a row whose label is NaN takes no part. A metric that a set of
rows cannot have (AUC of one class, XAUC of equal watch times) is NaN.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
BINS: Final = 15
"""Bins of equal mass of `reliability`."""


@dataclass(frozen=True, eq=False)
class GroupedAuc:
    """AUC of each user with both labels.

    Attributes:
        users: ``(G,)`` these users, in increasing order.
        values: ``(G,)`` AUC within each.
        exposures: ``(G,)`` rows of each, which weigh it.
        num_users: Users with a labelled row, of both labels or one.
        num_rows: Labelled rows of all users.
    """

    users: NDArray[np.int64]
    values: NDArray[np.float64]
    exposures: NDArray[np.int64]
    num_users: int
    num_rows: int

    @property
    def mean(self) -> float:
        """GAUC: the mean weighted by exposures; NaN where no user has both labels. Source: Zhu et al. 2017, eq. 4."""
        return float(np.average(self.values, weights=self.exposures)) if len(self.values) else np.nan

    @property
    def share_of_users(self) -> float:
        """Share of the users who have both labels; NaN where there are none."""
        return len(self.users) / self.num_users if self.num_users else np.nan

    @property
    def share_of_rows(self) -> float:
        """Share of the rows that are theirs; NaN where there are none."""
        return float(self.exposures.sum()) / self.num_rows if self.num_rows else np.nan


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of predictions, by size.

    Attributes:
        predicted: ``(B,)`` mean prediction of each bin.
        observed: ``(B,)`` share of positive labels in it.
        counts: ``(B,)`` rows in it.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    counts: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of both, weighted by rows; NaN without rows."""
        if not len(self.counts):
            return np.nan
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.counts))


def auc(labels: Floats, scores: Floats) -> float:
    """Return the chance that a positive row is scored above a negative one, a tie counting half.

    Args:
        labels: ``(N,)`` 0, 1 or NaN.
        scores: ``(N,)``.
    """
    grouped = grouped_auc(labels, scores, np.zeros(len(labels), dtype=np.int64))
    return float(grouped.values[0]) if len(grouped.values) else np.nan


def grouped_auc(labels: Floats, scores: Floats, users: NDArray[np.integer]) -> GroupedAuc:
    """Return the AUC within each user.

    Args:
        labels: ``(N,)`` 0, 1 or NaN.
        scores: ``(N,)``.
        users: ``(N,)`` who each row is of.

    Raises:
        ValueError: A score of a labelled row is not finite, or a label is neither 0 nor 1.
    """
    labels, scores, users = _labelled(labels, scores, users)
    order = np.lexsort((scores, users))
    labels, scores, users = labels[order], scores[order], users[order]
    is_first = np.concatenate([np.ones(min(len(users), 1), dtype=np.bool_), np.diff(users) != 0])
    group = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    is_step = is_first | np.concatenate([is_first[:1], np.diff(scores) != 0])
    firsts = np.flatnonzero(is_step)
    lasts = np.append(firsts[1:], len(users)) - 1
    ranks = ((firsts + lasts) / 2.0)[np.cumsum(is_step) - 1] - starts[group] + 1.0  # the mean rank of those tied
    sizes = np.bincount(group, minlength=len(starts))
    positives = np.bincount(group, weights=labels, minlength=len(starts))
    sums = np.bincount(group, weights=ranks * labels, minlength=len(starts))
    pairs = positives * (sizes - positives)
    kept = np.flatnonzero(pairs)
    values = (sums - positives * (positives + 1) / 2)[kept] / pairs[kept]
    return GroupedAuc(users[starts[kept]].astype(np.int64), values, sizes[kept], len(starts), len(labels))


def log_loss(labels: Floats, probabilities: Floats) -> float:
    """Return the mean negative log-likelihood; a certain prediction is held back by the type's epsilon.

    Args:
        labels: ``(N,)`` 0, 1 or NaN.
        probabilities: ``(N,)`` between 0 and 1.

    Raises:
        ValueError: A probability is outside 0 to 1 or not finite, or a label is neither 0 nor 1.
    """
    labels, probabilities = _probabilities(labels, probabilities)
    if not len(labels):
        return np.nan
    epsilon = np.finfo(probabilities.dtype).eps
    held = np.clip(probabilities, epsilon, 1 - epsilon).astype(np.float64)
    return float(-np.mean(np.where(labels > 0, np.log(held), np.log1p(-held))))


def reliability(labels: Floats, probabilities: Floats, *, bins: int = BINS) -> Reliability:
    """Return predicted and observed shares in bins of equal mass.

    Bins end at quantiles of the predictions and equal predictions stand in one bin, so a constant has one bin only.

    Args:
        labels: ``(N,)`` 0, 1 or NaN.
        probabilities: ``(N,)`` between 0 and 1.
        bins: Most bins.

    Raises:
        ValueError: A probability is outside 0 to 1 or not finite, or a label is neither 0 nor 1.
    """
    labels, probabilities = _probabilities(labels, probabilities)
    ordered = np.sort(probabilities)
    edges = ordered[np.arange(1, bins) * len(ordered) // bins] if len(ordered) else ordered
    numbers = np.searchsorted(np.unique(edges), probabilities, side="right")
    counts = np.bincount(numbers, minlength=bins)
    kept = np.flatnonzero(counts)
    sums = [np.bincount(numbers, weights=column, minlength=bins)[kept] for column in (probabilities, labels)]
    return Reliability(sums[0] / counts[kept], sums[1] / counts[kept], counts[kept])


def mean_absolute_error(watched: Floats, expected: Floats) -> float:
    """Return the mean distance in seconds; rows whose watch time is NaN take no part."""
    watched, expected = _known(watched, expected)
    return float(np.abs(watched - expected).mean()) if len(watched) else np.nan


def xauc(watched: Floats, expected: Floats) -> float:
    """Return the share of pairs of unlike watch times that the prediction orders right, a tie counting half.

    Every pair counts; they are counted by a merge over the bits of ranks, N log N.

    Args:
        watched: ``(N,)`` seconds; NaN rows take no part.
        expected: ``(N,)`` predicted seconds.

    Raises:
        ValueError: A prediction is not finite.
    """
    watched, expected = _known(watched, expected)
    order = np.lexsort((expected, watched))
    watched, expected = watched[order], expected[order]
    both = np.stack([watched, expected], axis=1)
    unlike = _pairs(len(watched)) - _tied(watched)
    ties = _tied(expected) - _pairs_of(np.unique(both, axis=0, return_counts=True)[1])
    ranks = np.unique(expected, return_inverse=True)[1]
    wrong = _inversions(ranks.astype(np.int64))
    return float((unlike - wrong - ties / 2) / unlike) if unlike else np.nan


def _inversions(ranks: NDArray[np.int64]) -> int:
    """Count the pairs in which an earlier rank is above a later one.

    Two ranks differ first in one bit: a pair is counted there, where those equal in the higher bits stand together.
    """
    count = 0
    for bit in reversed(range(int(ranks.max(initial=0)).bit_length())):
        above = ranks >> (bit + 1)
        ones = (ranks >> bit) & 1
        before = np.cumsum(ones) - ones
        starts = np.flatnonzero(np.concatenate([np.ones(1, dtype=np.bool_), np.diff(above) != 0]))
        sizes = np.diff(np.append(starts, len(ranks)))
        within = before - np.repeat(before[starts], sizes)
        count += int(within[ones == 0].sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return count


def _tied(values: NDArray[np.float64]) -> int:
    return _pairs_of(np.unique(values, return_counts=True)[1])


def _pairs_of(counts: NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _labelled(
    labels: Floats, scores: Floats, users: NDArray[np.integer]
) -> tuple[NDArray[np.float64], Floats, NDArray[np.integer]]:
    if not labels.shape == scores.shape == users.shape:
        raise ValueError(f"labels, scores and users of shapes {labels.shape}, {scores.shape}, {users.shape} differ.")
    kept = np.flatnonzero(~np.isnan(labels))
    truth, scores, users = np.asarray(labels[kept], dtype=np.float64), scores[kept], users[kept]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise ValueError("a label is neither 0, 1 nor NaN; turn ratings and watch times into yes or no first.")
    bad = len(scores) - int(np.isfinite(scores).sum())
    if bad:
        raise ValueError(f"{bad} of {len(scores)} predictions are not finite, so nothing can be said of their order.")
    return truth, scores, users


def _probabilities(labels: Floats, probabilities: Floats) -> tuple[NDArray[np.float64], Floats]:
    truth, probabilities, _ = _labelled(labels, probabilities, np.zeros(len(labels), dtype=np.int64))
    if len(probabilities) and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError(
            f"predictions lie between {probabilities.min()} and {probabilities.max()}; expected probabilities from "
            "0 to 1. Calibrate scores first."
        )
    return truth, probabilities


def _known(watched: Floats, expected: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if watched.shape != expected.shape:
        raise ValueError(f"watch times and predictions of shapes {watched.shape} and {expected.shape} differ.")
    kept = ~np.isnan(watched)
    values = np.asarray(expected[kept], dtype=np.float64)
    bad = len(values) - int(np.isfinite(values).sum())
    if bad:
        raise ValueError(f"{bad} of {len(values)} predicted watch times are not finite.")
    return np.asarray(watched[kept], dtype=np.float64), values
