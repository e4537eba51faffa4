"""The comparison of two models on the users that both were judged on: how much better, how sure, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import USER_ID
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.record import Evaluation


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
    def words(self) -> str:
        """The verdict as a sentence: which way, by how much, how sure, on how many users."""
        if self.lower > 0:
            verdict = "better"
        elif self.upper < 0:
            verdict = "worse"
        else:
            verdict = "not distinguishable"
        return (
            f"{verdict}: {self.metric} {self.candidate:.4f} against {self.baseline:.4f}, {self.difference:+.4f} "
            f"({self.relative:+.1%}), {self.confidence:.1%} interval {self.lower:+.4f} to {self.upper:+.4f}, "
            f"{self.num_users:,} users"
        )


@dataclass(frozen=True, eq=False)
class _Pairs:
    candidate: NDArray[np.float64]  # (U,)
    baseline: NDArray[np.float64]  # (U,)
    num_left_out: int


def compare(
    candidate: Evaluation, baseline: Evaluation, *, metric: str, samples: int, confidence: float, seed: int
) -> Comparison:
    """Compare two evaluations by a paired bootstrap over their common users.

    Each sample draws users once and takes both models' values of these users, so what makes one user harder than
    another cancels.

    Args:
        candidate: The new model's evaluation.
        baseline: The model to beat, judged on the same queries.
        metric: A metric that has a value a user.
        samples: Bootstrap samples.
        confidence: Coverage of the interval, such as 0.95.
        seed: Fixes the draws.

    Raises:
        ValueError: An evaluation lacks the metric, or no user is in both.
    """
    whole = _pairs(candidate.per_user, baseline.per_user, metric)
    if len(whole.candidate) == 0:
        raise ValueError(
            f"no user has {metric} in both evaluations ({candidate.num_users} and {baseline.num_users} users); "
            "evaluate both models on the same queries."
        )
    is_same = candidate.queries_digest == baseline.queries_digest
    names = sorted(candidate.slices.keys() & baseline.slices.keys())
    raised = 1 - (1 - confidence) / max(len(names), 1)
    slices = {}
    for name in names:
        pairs = _pairs(candidate.per_user_of(name), baseline.per_user_of(name), metric)
        if len(pairs.candidate):
            slices[name] = _judge(pairs, metric, samples, raised, seed, is_same=is_same, slices={})
    return _judge(whole, metric, samples, confidence, seed, is_same=is_same, slices=slices)


def _judge(
    pairs: _Pairs,
    metric: str,
    samples: int,
    confidence: float,
    seed: int,
    *,
    is_same: bool,
    slices: Mapping[str, Comparison],
) -> Comparison:
    differences = pairs.candidate - pairs.baseline
    drawn = bootstrap_means(differences[:, None], samples=samples, seed=seed)[:, 0]
    interval = percentile_interval(drawn, confidence=confidence)
    difference, baseline = float(differences.mean()), float(pairs.baseline.mean())
    return Comparison(
        metric=metric,
        candidate=float(pairs.candidate.mean()),
        baseline=baseline,
        difference=difference,
        lower=interval.lower,
        upper=interval.upper,
        relative=_relative(difference, baseline),
        num_users=len(differences),
        num_left_out=pairs.num_left_out,
        probability_better=float((drawn > 0).mean() + (drawn == 0).mean() / 2),
        confidence=confidence,
        is_same_queries=is_same,
        slices=slices,
    )


def _relative(difference: float, baseline: float) -> float:
    if baseline == 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return difference / baseline


def _pairs(candidate: pa.Table, baseline: pa.Table, metric: str) -> _Pairs:
    for table in (candidate, baseline):
        if metric not in table.column_names[1:]:
            raise ValueError(f"{metric!r} has no value a user; known: {', '.join(table.column_names[1:])}.")
    left, right = candidate[USER_ID].combine_chunks(), baseline[USER_ID].combine_chunks()
    places = pc.index_in(left, value_set=right)  # (U,) row of the same user in the baseline
    common = places.is_valid().to_numpy(zero_copy_only=False)
    own = candidate[metric].to_numpy()[common]
    other = baseline[metric].to_numpy()[places.drop_null().to_numpy()]
    both = np.isfinite(own) & np.isfinite(other)
    num_users = int(both.sum())
    return _Pairs(own[both], other[both], len(left) + len(right) - 2 * num_users)
