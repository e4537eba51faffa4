"""Whether two measured models may be compared at all, and what their comparison says, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from recmodels.errors import DataError
from recmodels.evaluation.comparison import BETTER, WORSE, Comparison, compare_all
from recmodels.evaluation.record import Evaluation
from recmodels.recipe import Recipe

FEW_USERS: Final = 30
"""With fewer users a percentile interval covers less than it says, so the verdict comes with a word of caution."""
_ASKING: Final = frozenset(
    {
        *("label", "label_minimum"),
        *("kind", "validation_fraction", "test_fraction", "validation_from", "test_from"),
        "remove_seen",
    }
)
"""Fields of a recipe that decide which queries are asked."""
_VERBS: Final = {BETTER: "is better than", WORSE: "is worse than"}
_SAME: Final = "cannot be told apart from"


@dataclass(frozen=True, eq=False)
class Contender:
    """A measured model.

    Attributes:
        name: What people call it, such as ``"sasrec (version 3)"``.
        evaluation: What it reached on the test part.
        recipe: What made it and how it was measured.
        snapshot: Fingerprint of the data that it was measured on.
        learned_until: First moment after what it learned from; None where its own split says that this is no matter.
        judged_from: First moment of the test part; None likewise.
    """

    name: str
    evaluation: Evaluation
    recipe: Recipe
    snapshot: str
    learned_until: datetime | None = None
    judged_from: datetime | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """One model against another on the same queries.

    Attributes:
        candidate: Name of the model that the verdict is about.
        baseline: Name of the model that it is compared with.
        metric: The metric that decides.
        comparisons: Candidate minus baseline in every metric that has a value a user, each with its slices.
        without_interval: Figures of all lists together, such as coverage: candidate's, then baseline's.
        cautions: What a reader must know before believing the verdict.
    """

    candidate: str
    baseline: str
    metric: str
    comparisons: Mapping[str, Comparison]
    without_interval: Mapping[str, tuple[float, float]]
    cautions: tuple[str, ...]

    @property
    def decisive(self) -> Comparison:
        """The comparison in the metric that decides."""
        return self.comparisons[self.metric]

    @property
    def words(self) -> str:
        """The verdict as one sentence."""
        return say(self.decisive, self.candidate, self.baseline)


def say(comparison: Comparison, candidate: str, baseline: str) -> str:
    """Return a comparison as a sentence about two names."""
    return f"{candidate} {_VERBS.get(comparison.verdict, _SAME)} {baseline}: {comparison.figures}."


def contest(
    candidate: Contender, baseline: Contender, *, metric: str = "", samples: int, confidence: float, seed: int
) -> Contest:
    """Compare two models in every metric that both hold for each user.

    Args:
        candidate: The verdict is about this one.
        baseline: What it is compared with.
        metric: Decides; the metric of the candidate's gate if empty.
        samples: Bootstrap samples.
        confidence: Coverage of each interval.
        seed: Fixes the draws.

    Raises:
        DataError: They were not judged on the same queries, or one lacks the metric; the message says what differs.
    """
    if candidate.evaluation.queries_digest != baseline.evaluation.queries_digest:
        found = "; ".join(differences(candidate, baseline))
        raise DataError(
            f"{candidate.name} and {baseline.name} were not judged on the same queries, so their users cannot be "
            f"paired: {found}. Compare models of one snapshot, split and label, or measure both again on the data that "
            "is in the lake: --anew."
        )
    deciding = metric or candidate.recipe.gate.metric
    for one in (candidate, baseline):
        known = one.evaluation.per_user.column_names[1:]
        if deciding not in known:
            raise DataError(f"{one.name} has no value of {deciding!r} for each user. Known: {', '.join(known)}.")
    comparisons = compare_all(
        candidate.evaluation, baseline.evaluation, samples=samples, confidence=confidence, seed=seed
    )
    if deciding not in comparisons:
        raise DataError(f"no user has a value of {deciding!r} in both. Choose one of: {', '.join(comparisons)}.")
    return Contest(
        candidate=candidate.name,
        baseline=baseline.name,
        metric=deciding,
        comparisons=comparisons,
        without_interval=_without_interval(candidate.evaluation, baseline.evaluation),
        cautions=tuple(_cautions(candidate, baseline, comparisons[deciding])),
    )


def differences(candidate: Contender, baseline: Contender) -> list[str]:
    """Say in what the questions that two models were asked differ; never empty for questions that are not the same."""
    found = []
    if candidate.snapshot != baseline.snapshot:
        found.append(f"the data is snapshot {candidate.snapshot[:12]} against {baseline.snapshot[:12]}")
    rules = ((one.recipe.data, one.recipe.split, one.recipe.evaluation) for one in (candidate, baseline))
    for own, other in zip(*rules, strict=True):
        fields = [name for name in type(own).model_fields if getattr(own, name) != getattr(other, name)]
        found += [
            f"{name} is {getattr(own, name)!r} against {getattr(other, name)!r}" for name in fields if name in _ASKING
        ]
    left, right = candidate.evaluation, baseline.evaluation
    found.append(
        f"{left.num_users:,} users and {left.num_queries:,} queries against {right.num_users:,} and "
        f"{right.num_queries:,}, {_common_users(left, right):,} users in common"
    )
    return found


def _common_users(left: Evaluation, right: Evaluation) -> int:
    first, second = (set(one.per_user.column(0).to_pylist()) for one in (left, right))
    return len(first & second)


def _without_interval(candidate: Evaluation, baseline: Evaluation) -> dict[str, tuple[float, float]]:
    shared = candidate.metrics.keys() & baseline.metrics.keys()
    return {
        name: (candidate.metrics[name], baseline.metrics[name])
        for name in sorted(shared)
        if name not in candidate.per_user.column_names
    }


def _cautions(candidate: Contender, baseline: Contender, decisive: Comparison) -> Iterator[str]:
    if decisive.num_users < FEW_USERS:
        yield f"only {decisive.num_users} users: an interval of so few covers less than it says"
    elif few := [f"{name} ({part.num_users})" for name, part in decisive.slices.items() if part.num_users < FEW_USERS]:
        yield f"few users in {', '.join(few)}: an interval of so few covers less than it says"
    for one in (candidate, baseline):
        if one.learned_until and one.judged_from and one.learned_until > one.judged_from:
            yield (
                f"{one.name} has learned from events up to {one.learned_until:%Y-%m-%d %H:%M}, but the test part "
                f"begins {one.judged_from:%Y-%m-%d %H:%M}: it is judged on what it has seen"
            )
        if one.evaluation.non_finite:
            yield f"{one.name} answered {one.evaluation.non_finite:,} queries with a non-finite score"
    if candidate.recipe.split.kind == "leave_one_out":
        yield "leave-one-out looks into the future of other users; compare with papers only"
    missing = [one.evaluation.missing_target_share for one in (candidate, baseline)]
    if abs(missing[0] - missing[1]) > candidate.recipe.gate.maximum_missing_rise:
        yield (
            f"{missing[0]:.1%} of the targets are outside the catalogue of {candidate.name}, {missing[1]:.1%} outside "
            f"that of {baseline.name}: they know different items"
        )
