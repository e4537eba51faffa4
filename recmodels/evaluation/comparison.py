"""The comparison of two models on the users that both were judged on: how much better, how sure, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import USER_ID
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.fairness import LOWER_IS_BETTER
from recmodels.evaluation.record import Evaluation

BETTER: Final = "better"
WORSE: Final = "worse"
NOT_DISTINGUISHABLE: Final = "not distinguishable"


@dataclass(frozen=True)
class Comparison:
    """Candidate minus baseline in one metric, paired over the users that both evaluations hold.

    Attributes:
        metric: Name of the metric.
        candidate: The candidate's mean over the common users.
        baseline: The baseline's mean over the common users.
        difference: Candidate minus baseline.
        lower: Lower end of the difference's interval.
        upper: Upper end of the difference's interval.
        relative: Difference as a share of the baseline; infinite where the baseline is 0 and the candidate is not.
        num_users: Common users.
        num_left_out: Users of only one of the two evaluations, which take no part.
        probability_better: Share of the bootstrap samples with a positive difference; a tie counts half.
        confidence: Coverage of the interval.
        is_same_queries: Both evaluations judged the very same queries.
        slices: The comparison within each slice that both hold, by slice name, at a confidence raised for the number
            of slices (Bonferroni).
    """

    metric: str
    candidate: float
    baseline: float
    difference: float
    lower: float
    upper: float
    relative: float
    num_users: int
    num_left_out: int
    probability_better: float
    confidence: float
    is_same_queries: bool
    slices: Mapping[str, "Comparison"] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`BETTER` or `WORSE` where the whole interval is on one side of 0, else `NOT_DISTINGUISHABLE`.

        Higher is better, except in the metrics that `LOWER_IS_BETTER` names.
        """
        if not (self.lower > 0 or self.upper < 0):  # an interval that is NaN says nothing
            return NOT_DISTINGUISHABLE
        return BETTER if (self.lower > 0) != self.metric.startswith(LOWER_IS_BETTER) else WORSE

    @property
    def figures(self) -> str:
        """The numbers of the verdict: both means, the difference, its interval, how many users."""
        return (
            f"{self.metric} {self.candidate:.4f} against {self.baseline:.4f}, {self.difference:+.4f} "
            f"({self.relative:+.1%}), {self.confidence:.1%} interval {self.lower:+.4f} to {self.upper:+.4f}, "
            f"{self.num_users:,} users"
        )

    @property
    def words(self) -> str:
        """The verdict as a sentence: which way, by how much, how sure, on how many users."""
        return f"{self.verdict}: {self.figures}"


@dataclass(frozen=True, eq=False)
class _Pairs:
    candidate: NDArray[np.float64]  # (U, M)
    baseline: NDArray[np.float64]  # (U, M)
    num_known: int  # users of either evaluation, those of both counted twice


def compare(
    candidate: Evaluation, baseline: Evaluation, *, metric: str, samples: int, confidence: float, seed: int
) -> Comparison:
    """Compare two evaluations in one metric; see `compare_all`.

    Raises:
        ValueError: An evaluation lacks the metric, or no user is in both.
    """
    return compare_all(candidate, baseline, metrics=(metric,), samples=samples, confidence=confidence, seed=seed)[
        metric
    ]


def compare_all(
    candidate: Evaluation,
    baseline: Evaluation,
    *,
    metrics: Sequence[str] = (),
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Comparison]:
    """Compare two evaluations by a paired bootstrap over their common users.

    Each sample draws users once and takes both models' values of these users in every metric, so what makes one user
    harder than another cancels.

    Args:
        candidate: The new model's evaluation.
        baseline: The model to beat, judged on the same queries.
        metrics: Metrics that have a value a user; every one that both evaluations hold if empty. One that was not
            named and that no common user has a value of is left out.
        samples: Bootstrap samples.
        confidence: Coverage of each interval, such as 0.95; within a metric it is raised for the number of slices.
        seed: Fixes the draws.

    Returns:
        One comparison a metric.

    Raises:
        ValueError: An evaluation lacks a metric, or no user is in both.
    """
    names = list(metrics) or _common_metrics(candidate, baseline)
    whole = _pairs(candidate.per_user, baseline.per_user, names)
    is_same = candidate.queries_digest == baseline.queries_digest
    found = _judge(whole, names, samples, confidence, seed, is_same=is_same)
    missing = [name for name in names if name not in found]
    if not found or (metrics and missing):
        raise ValueError(
            f"no user has {', '.join(missing)} in both evaluations ({candidate.num_users} and {baseline.num_users} "
            "users); evaluate both models on the same queries."
        )
    parts = sorted(candidate.slices.keys() & baseline.slices.keys())
    raised = 1 - (1 - confidence) / max(len(parts), 1)
    slices: dict[str, dict[str, Comparison]] = {name: {} for name in found}
    for part in parts:
        pairs = _pairs(candidate.per_user_of(part), baseline.per_user_of(part), names)
        for name, comparison in _judge(pairs, names, samples, raised, seed, is_same=is_same).items():
            slices.setdefault(name, {})[part] = comparison
    return {name: replace(comparison, slices=slices[name]) for name, comparison in found.items()}


def _common_metrics(candidate: Evaluation, baseline: Evaluation) -> list[str]:
    known = set(baseline.per_user.column_names)
    return [name for name in candidate.per_user.column_names[1:] if name in known]


def _judge(
    pairs: _Pairs, names: Sequence[str], samples: int, confidence: float, seed: int, *, is_same: bool
) -> dict[str, Comparison]:
    """Compare in every metric that a user has a value of on both sides, with the same draws for all of them."""
    differences = pairs.candidate - pairs.baseline  # (U, M), NaN where a side has no value
    present = np.isfinite(differences)
    kept = np.flatnonzero(present.any(axis=1))
    if not len(kept):
        return {}
    drawn = bootstrap_means(differences[kept], samples=samples, seed=seed)  # (S, M)
    found = {}
    for column, name in enumerate(names):
        users = present[:, column]
        if not users.any():
            continue
        difference, samples_of = float(differences[users, column].mean()), drawn[:, column]
        interval = percentile_interval(samples_of, confidence=confidence)
        baseline = float(pairs.baseline[users, column].mean())
        found[name] = Comparison(
            metric=name,
            candidate=float(pairs.candidate[users, column].mean()),
            baseline=baseline,
            difference=difference,
            lower=interval.lower,
            upper=interval.upper,
            relative=_relative(difference, baseline),
            num_users=int(users.sum()),
            num_left_out=pairs.num_known - 2 * int(users.sum()),
            probability_better=float((samples_of > 0).mean() + (samples_of == 0).mean() / 2),
            confidence=confidence,
            is_same_queries=is_same,
        )
    return found


def _relative(difference: float, baseline: float) -> float:
    if baseline == 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return difference / baseline


def _pairs(candidate: pa.Table, baseline: pa.Table, names: Sequence[str]) -> _Pairs:
    for table in (candidate, baseline):
        unknown = [name for name in names if name not in table.column_names[1:]]
        if unknown:
            raise ValueError(f"{unknown[0]!r} has no value a user; known: {', '.join(table.column_names[1:])}.")
    left, right = candidate[USER_ID].combine_chunks(), baseline[USER_ID].combine_chunks()
    places = pc.index_in(left, value_set=right)  # (U,) row of the same user in the baseline
    common = places.is_valid().to_numpy(zero_copy_only=False)
    rows = places.drop_null().to_numpy()
    own = np.stack([candidate[name].to_numpy()[common] for name in names], axis=1)
    other = np.stack([baseline[name].to_numpy()[rows] for name in names], axis=1)
    return _Pairs(own, other, len(left) + len(right))
