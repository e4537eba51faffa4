"""The gate decides, from offline evaluations alone, whether a model may be registered as challenger, and says why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recmodels.evaluation.fairness_limits import limits_of
from recmodels.evaluation.gate_config import GateConfig
from recmodels.lineage import OLDER_USERS

if TYPE_CHECKING:
    from recmodels.evaluation.comparison import Comparison
    from recmodels.evaluation.evaluator import Evaluation
    from recmodels.evaluation.footprint import Footprint

__all__ = ["GateCheck", "GateConfig", "GateDecision", "decide"]


@dataclass(frozen=True)
class GateCheck:
    """One requirement and what was seen.

    Args:
        name: Fixed name, such as ``"blocked_items"`` or ``"slice user=new"``.
        passed: Whether the requirement holds.
        observed: The figure that was judged.
        threshold: The figure it was judged against.
        message: What was checked, seen and required and, where it failed, what to do.
    """

    name: str
    passed: bool
    observed: float
    threshold: float
    message: str


@dataclass(frozen=True)
class GateDecision:
    """The verdict over all checks: one that fails refuses the model.

    Args:
        passed: Whether every check passed.
        checks: All checks, in the order in which a person should read them.
    """

    passed: bool
    checks: tuple[GateCheck, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Messages of the checks that failed."""
        return tuple(check.message for check in self.checks if not check.passed)

    @property
    def refused_by(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if not check.passed)


def decide(
    candidate: "Evaluation",
    *,
    champion: "Evaluation | None",
    floor: "Evaluation | None",
    comparison: "Comparison | None",
    config: GateConfig,
    footprint: "Footprint | None" = None,
) -> GateDecision:
    """Judge a candidate by its evaluation.

    Args:
        candidate: Evaluation of the bundle that would be served.
        champion: The champion's evaluation on the same queries, or None on an empty registry: the absolute checks
            are then the only ones.
        floor: Recent popularity's evaluation on the same queries, or None where the candidate is popularity itself.
        comparison: Candidate against champion, paired over users; needed whenever there is a champion.
        config: The requirements.
        footprint: Time and memory of the bundle that would be served; not judged when absent.

    Raises:
        ValueError: A champion without a comparison, a comparison of another metric, or a metric that an evaluation
            does not hold.
    """
    if champion is not None and comparison is None:
        raise ValueError(
            "the gate got a champion but no comparison with it; call compare(candidate, champion, ...) first."
        )
    checks = [
        *_soundness(candidate, config),
        *_catalogue(candidate, [known for known in (champion, floor) if known is not None], config),
        *_cost(footprint, config),
        *_quality(candidate, floor, config),
        *_variety(candidate, champion, config),
        *_fairness(candidate, config),
    ]
    if champion is not None and comparison is not None:
        checks += _against_champion(comparison, config)
    return GateDecision(passed=all(check.passed for check in checks), checks=tuple(checks))


def _soundness(candidate: "Evaluation", config: GateConfig) -> Iterator[GateCheck]:
    broken = "Look for a diverged training run or an export that overflows."
    what = "queries answered with a non-finite score"
    yield _at_most("finite_scores", candidate.non_finite, 0, what=what, advice=broken)
    unsafe = "The safety filter did not hold; do not serve this bundle."
    yield _at_most("blocked_items", candidate.blocked_shown, 0, what="blocked items shown", advice=unsafe)
    more = "Lengthen the test part, or bring more data."
    yield _at_least("enough_users", candidate.num_users, config.minimum_users, what="test users", advice=more)
    yield _at_least("enough_queries", candidate.num_queries, config.minimum_queries, what="test queries", advice=more)


def _catalogue(candidate: "Evaluation", references: "list[Evaluation]", config: GateConfig) -> Iterator[GateCheck]:
    if references:
        usual = min(known.missing_target_share for known in references)
        yield _at_most(
            "current_catalogue",
            candidate.missing_target_share,
            usual + config.maximum_missing_rise,
            what=f"share of the targets outside the catalogue ({usual:.4f} are outside that of the champion or of "
            "recent popularity)",
            advice="The model was built on an old catalogue; train it on the newest snapshot.",
        )


def _cost(footprint: "Footprint | None", config: GateConfig) -> Iterator[GateCheck]:
    if footprint is not None:
        slow = "Use a smaller model or an approximate index; the gateway would answer with popular items."
        limit, what = config.maximum_latency_seconds, "median seconds to one list"
        yield _at_most("latency", footprint.median_seconds, limit, what=what, advice=slow)
        large = "Use fewer items, fewer neighbours or smaller vectors."
        yield _at_most("memory", footprint.bundle_bytes, config.maximum_bytes, what="bytes of the bundle", advice=large)


def _quality(candidate: "Evaluation", floor: "Evaluation | None", config: GateConfig) -> Iterator[GateCheck]:
    value = _value(candidate.metrics, config.metric, whose="candidate")
    yield _check(
        "quality_floor",
        value > config.minimum_value,
        value,
        config.minimum_value,
        words=f"{config.metric} is {value:.4f}, must be above {config.minimum_value:.4f}",
        advice="The model finds nothing; check that its ids are those of the data.",
    )
    chance = _value(candidate.chance, config.metric, whose="chance level")
    yield _at_least(
        "better_than_chance",
        value,
        config.chance_factor * chance,
        what=f"{config.metric} ({config.chance_factor:g} times chance, {chance:.4f}, is asked for)",
        advice="An order close to random means broken ids, features or weights.",
    )
    if floor is not None:
        best = _value(floor.metrics, config.metric, whose="popularity floor")
        yield _at_least(
            "popularity_floor",
            value,
            config.floor_share * best,
            what=f"{config.metric} ({config.floor_share:.0%} of recent popularity's {best:.4f} is asked for)",
            advice="Check ids and training, or serve popularity.",
        )


def _variety(candidate: "Evaluation", champion: "Evaluation | None", config: GateConfig) -> Iterator[GateCheck]:
    name, gini = f"coverage_at_{config.coverage_at}", f"gini_at_{config.coverage_at}"
    coverage = _value(candidate.metrics, name, whose="candidate")
    advice = "The model shows too few items; look at the popularity plot, at negatives and at regularisation."
    yield _at_least("coverage_floor", coverage, config.minimum_coverage, what=name, advice=advice)
    if champion is not None:
        reference = _value(champion.metrics, name, whose="champion")
        yield _at_least(
            "coverage_against_champion",
            coverage,
            config.champion_coverage_share * reference,
            what=f"{name} ({config.champion_coverage_share:.0%} of the champion's {reference:.4f} is asked for)",
            advice=advice,
        )
    if config.maximum_gini is not None:
        value = _value(candidate.metrics, gini, whose="candidate")
        yield _at_most("gini_ceiling", value, config.maximum_gini, what=gini, advice=advice)
    yield from _lists(candidate, config)


def _lists(candidate: "Evaluation", config: GateConfig) -> Iterator[GateCheck]:
    """Judge what re-ranking is for, where the recipe asks for it."""
    advice = "Raise the strength of a re-ranking stage, or lower what the gate asks for."
    floors = {"diversity": config.minimum_diversity, "distance": config.minimum_distance}
    for kind, floor in floors.items():
        if floor is not None:
            name = f"{kind}_at_{config.coverage_at}"
            value = _value(candidate.metrics, name, whose="candidate")
            yield _at_least(f"{kind}_floor", value, floor, what=name, advice=advice)
    if config.maximum_creator_gini is not None:
        name = f"creator_gini_at_{config.coverage_at}"
        value = _value(candidate.metrics, name, whose="candidate")
        yield _at_most("creator_gini_ceiling", value, config.maximum_creator_gini, what=name, advice=advice)


def _fairness(candidate: "Evaluation", config: GateConfig) -> Iterator[GateCheck]:
    for one in limits_of(candidate, config):
        if one.observed is None:
            words = f"{one.what}: not judged, the test part cannot tell"
            yield _check(one.name, passed=True, observed=one.threshold, threshold=one.threshold, words=words, advice="")
        else:
            judge = _at_least if one.is_floor else _at_most
            yield judge(one.name, one.observed, one.threshold, what=one.what, advice=one.advice)


def _against_champion(comparison: "Comparison", config: GateConfig) -> Iterator[GateCheck]:
    if comparison.metric != config.metric:
        raise ValueError(
            f"the comparison is of {comparison.metric!r} but the gate reads {config.metric!r}; compare that metric."
        )
    yield _check(
        "same_queries",
        comparison.is_same_queries,
        float(comparison.is_same_queries),
        1.0,
        words=f"{comparison.num_users} users were evaluated on both sides, on the very same queries: "
        + ("yes" if comparison.is_same_queries else "no"),
        advice="Evaluate the champion's bundle on the candidate's test queries, then compare.",
    )
    yield _check(
        "not_worse_than_champion",
        comparison.upper >= 0,
        comparison.upper,
        0.0,
        words=f"{comparison.words}; the interval's upper end must not be below 0",
        advice="Keep the champion.",
    )
    yield _check(
        "drop_within_tolerance",
        comparison.relative >= -config.maximum_relative_drop,
        comparison.relative,
        -config.maximum_relative_drop,
        words=f"{config.metric} changed by {comparison.relative:+.1%} against the champion, "
        f"must not fall by more than {config.maximum_relative_drop:.1%}",
        advice="Keep the champion, or test on more users if the fall may be noise.",
    )
    yield from _slices(comparison, config)


def _slices(comparison: "Comparison", config: GateConfig) -> Iterator[GateCheck]:
    for name, part in comparison.slices.items():
        if name == OLDER_USERS:
            yield _forgetting(part, config)
        elif name.partition("=")[0] in config.slice_kinds and part.num_users >= config.minimum_slice_users:
            yield _check(
                f"slice {name}",
                part.upper >= 0,
                part.upper,
                0.0,
                words=f"in {name}: {part.words}; the interval's upper end must not be below 0",
                advice="The average hides a loss for these users; retrain with them in mind or keep the champion.",
            )


def _forgetting(older: "Comparison", config: GateConfig) -> GateCheck:
    """Judge a warm start among the users whom it could have forgotten; a few of them prove nothing either way."""
    limit = -config.maximum_forgetting * older.baseline
    words = f"users of before the warm start: {older.words}; "
    if older.num_users < config.minimum_slice_users:
        words += f"not judged, {config.minimum_slice_users} users are asked for"
        return _check("forgetting", passed=True, observed=older.upper, threshold=limit, words=words, advice="")
    return _check(
        "forgetting",
        older.upper >= limit,
        older.upper,
        limit,
        words=words + f"the interval's upper end must not be below {limit:+.4f}, {config.maximum_forgetting:.0%} of "
        "the champion's",
        advice="Raise warm_start.replay_share, lower its epochs or learning_rate_factor, or train from scratch.",
    )


def _value(metrics: dict[str, float], name: str, *, whose: str) -> float:
    if name not in metrics:
        raise ValueError(f"the gate reads {name!r}, which the {whose} lacks; it has {', '.join(sorted(metrics))}.")
    return metrics[name]


def _at_least(name: str, observed: float, threshold: float, *, what: str, advice: str) -> GateCheck:
    words = f"{what}: {_figure(observed)}, must be at least {_figure(threshold)}"
    return _check(name, observed >= threshold, observed, threshold, words=words, advice=advice)


def _at_most(name: str, observed: float, threshold: float, *, what: str, advice: str) -> GateCheck:
    words = f"{what}: {_figure(observed)}, must be at most {_figure(threshold)}"
    return _check(name, observed <= threshold, observed, threshold, words=words, advice=advice)


def _check(name: str, passed: bool, observed: float, threshold: float, *, words: str, advice: str) -> GateCheck:  # noqa: FBT001
    message = f"{name}: {words}." if passed else f"{name}: {words}. {advice}"
    return GateCheck(name, passed, float(observed), float(threshold), message)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
