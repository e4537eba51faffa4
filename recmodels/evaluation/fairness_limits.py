"""The gate's optional limits of fairness, as plain figures beside their thresholds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recmodels.evaluation.fairness import Fairness, Gap
from recmodels.evaluation.gate_config import GateConfig

if TYPE_CHECKING:
    from recmodels.evaluation.record import Evaluation


@dataclass(frozen=True)
class Limit:
    """One limit and what was seen.

    Attributes:
        name: Of the check.
        observed: The figure; None where it could not be measured.
        threshold: What it is judged against.
        is_floor: The figure must be at least the threshold rather than at most.
        what: What was measured.
        advice: What to do where the limit does not hold.
    """

    name: str
    observed: float | None
    threshold: float
    is_floor: bool
    what: str
    advice: str


def limits_of(candidate: "Evaluation", config: GateConfig) -> Iterator[Limit]:
    """Yield every limit that the configuration sets."""
    k = config.coverage_at
    if config.maximum_group_gap is not None:
        for kind in config.gap_kinds:
            yield _gap(kind, candidate.fairness.gaps.get(kind), config.maximum_group_gap)
    if config.maximum_popularity_lift is not None:
        yield Limit(
            name="popularity_lift",
            observed=candidate.metrics.get(f"popularity_lift_at_{k}"),
            threshold=config.maximum_popularity_lift,
            is_floor=False,
            what=f"popularity of what is shown over that of what was taken, lists of {k}",
            advice="The model pushes what is popular already; look at negatives, regularisation and re-ranking.",
        )
    if config.maximum_calibration_kl is not None:
        yield Limit(
            name="calibration",
            observed=candidate.metrics.get(f"calibration_kl_at_{k}"),
            threshold=config.maximum_calibration_kl,
            is_floor=False,
            what=f"divergence of the categories of lists of {k} from those of histories, in nats",
            advice="Lists follow few categories whatever a person likes; re-rank for calibration.",
        )
    exposures = (
        ("small_creator_exposure", "creators=small", config.minimum_small_creator_exposure),
        ("new_item_exposure", "items=new", config.minimum_new_item_exposure),
    )
    for name, group, floor in exposures:
        if floor is not None:
            yield _exposure(name, group, candidate.fairness, floor)


def _gap(kind: str, gap: Gap | None, threshold: float) -> Limit:
    advice = "The average hides a group that is served less well; retrain with it in mind, or look for what it lacks."
    if gap is None:
        return Limit(
            f"gap {kind}", None, threshold, is_floor=False, what=f"gap between groups of {kind}", advice=advice
        )
    what = (
        f"smallest likely gap of {gap.metric} between {gap.best} ({gap.best_value:.4f}) and {gap.worst} "
        f"({gap.worst_value:.4f}), relative to the better one"
    )
    observed = max(gap.lower, 0.0) / gap.best_value if gap.best_value > 0 else 0.0
    return Limit(f"gap {kind}", observed, threshold, is_floor=False, what=what, advice=advice)


def _exposure(name: str, group: str, fairness: Fairness, threshold: float) -> Limit:
    found = fairness.exposure.get(group)
    return Limit(
        name=name,
        observed=found.ratio if found and found.consumption > 0 else None,
        threshold=threshold,
        is_floor=True,
        what=f"share of the slots that {group} has, over its share of consumption",
        advice="Creators or items that people take are hardly shown; re-rank with a floor for them.",
    )
