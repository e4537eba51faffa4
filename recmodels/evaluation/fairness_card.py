"""The model card's section on fairness, in words: who is served less well, and who is shown less than people took."""

from recmodels.evaluation.fairness import Exposure, Fairness, Gap
from recmodels.evaluation.markdown import markdown_table
from recmodels.evaluation.record import Evaluation

_NAMES = {
    "creators=large": "large creators (the fifth with most interactions)",
    "creators=middle": "middle creators",
    "creators=small": "small creators (the half with fewest interactions)",
    "items=new": "new items (the newest fifth of the catalogue)",
    "items=older": "older items",
}


def render_fairness(evaluation: Evaluation) -> str:
    """Return the section; empty for an evaluation of a version that did not measure it."""
    fairness = evaluation.fairness
    if not fairness.top_k:
        return ""
    parts = [_gaps(fairness), _exposure(fairness), _taste(evaluation)]
    return "## Fairness\n\n" + "\n\n".join(part for part in parts if part)


def _gaps(fairness: Fairness) -> str:
    if not fairness.gaps:
        return "No kind of users has two groups large enough to compare."
    return "\n".join(f"- {kind}: {_gap_words(gap)}" for kind, gap in sorted(fairness.gaps.items()))


def _gap_words(gap: Gap) -> str:
    relative = f" ({gap.difference / gap.best_value:.0%} less)" if gap.best_value > 0 else ""
    sure = "so the groups differ" if gap.lower > 0 else "so it may be chance"
    return (
        f"of {gap.num_groups} groups, {gap.worst} is served worst and {gap.best} best: {gap.metric} "
        f"{gap.worst_value:.4f} against {gap.best_value:.4f}{relative}; the gap of {gap.difference:.4f} lies between "
        f"{gap.lower:.4f} and {gap.upper:.4f}, {sure}."
    )


def _exposure(fairness: Fairness) -> str:
    if not fairness.exposure:
        return "The catalogue names too few creators and dates to say who is shown."
    rows = [_row(name, one) for name, one in fairness.exposure.items()]
    header = ("who", "share of the slots", "interval", "of what people took", "of the catalogue", "in words")
    return markdown_table(header, rows)


def _row(name: str, one: Exposure) -> tuple[str, ...]:
    shares = (f"{one.exposure:.1%}", f"{one.lower:.1%} to {one.upper:.1%}", f"{one.consumption:.1%}")
    return (_NAMES.get(name, name), *shares, f"{one.catalogue:.1%}", _exposure_words(one))


def _exposure_words(one: Exposure) -> str:
    if one.consumption == 0:
        return "nobody took them"
    if one.lower <= one.consumption <= one.upper:
        return "shown as much as people took"
    return f"shown {one.ratio:.2f} times what people took"


def _taste(evaluation: Evaluation) -> str:
    k = evaluation.fairness.top_k
    lines = []
    if (lift := evaluation.metrics.get(f"popularity_lift_at_{k}")) is not None:
        interval = evaluation.intervals[f"popularity_lift_at_{k}"]
        lines.append(
            f"- Popularity: what is shown is {lift:.2f} times as popular as what the same users took before "
            f"({interval.lower:.2f} to {interval.upper:.2f}); 1 follows them, more favours what is popular already."
        )
    if (divergence := evaluation.metrics.get(f"calibration_kl_at_{k}")) is not None:
        lines.append(
            f"- Taste: the categories of a list stray from those of its history by {divergence:.2f} nats on average; "
            "0 is the same mix, 4.6 nothing in common."
        )
    if (spread := evaluation.metrics.get(f"creator_gini_at_{k}")) is not None:
        lines.append(f"- Creators: the Gini coefficient of their slots is {spread:.2f}; 0 is equal, 1 is one for all.")
    lines.append(
        f"- Catalogue: {evaluation.metrics[f'coverage_at_{k}']:.1%} of the items are shown to somebody; the Gini "
        f"coefficient of their slots is {evaluation.metrics[f'gini_at_{k}']:.2f}."
    )
    return "\n".join(lines)
