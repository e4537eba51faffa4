"""The model card: everything a person needs before trusting a model, as one Markdown page."""

from dataclasses import dataclass
from datetime import datetime

from recmodels.evaluation.comparison import Comparison
from recmodels.evaluation.fairness import OWN_METRICS
from recmodels.evaluation.fairness_card import render_fairness
from recmodels.evaluation.gate import GateDecision
from recmodels.evaluation.leakage import LeakageReport
from recmodels.evaluation.markdown import markdown_table
from recmodels.evaluation.record import Evaluation
from recmodels.lineage import OLDER_USERS, WarmStartReport
from recmodels.recipe import Recipe


@dataclass(frozen=True)
class CardFacts:
    """Where a model comes from.

    Attributes:
        data: Name of the data set.
        snapshot: Fingerprint or version of the data.
        trained_until: First moment after the training events (UTC).
        digest: Digest of the bundle.
        is_order_only: The data has an order and no times.
        origin: What training started from, where the recipe asks for a warm start.
        warm_start: What became of the parent's items, where there is a parent.
        leakage: What an audit of the data found, where there was one.
    """

    data: str
    snapshot: str
    trained_until: datetime
    digest: str
    is_order_only: bool = False
    origin: str = ""
    warm_start: WarmStartReport | None = None
    leakage: LeakageReport | None = None


def render(
    recipe: Recipe,
    facts: CardFacts,
    *,
    evaluation: Evaluation,
    comparison: Comparison | None = None,
    decision: GateDecision | None = None,
) -> str:
    """Write the card.

    Args:
        recipe: The recipe that made the model.
        facts: Where it comes from.
        evaluation: What it reached on the test part.
        comparison: Against the champion, where there is one.
        decision: The gate's decision, where it was asked.

    Returns:
        Markdown that ends with a line break.
    """
    sections = [
        _summary(recipe, facts, decision),
        _recipe(recipe),
        _protocol(recipe, evaluation),
        _leakage(facts.leakage),
        _metrics(evaluation),
        _slices(evaluation),
        render_fairness(evaluation),
        _comparison(comparison),
        _warm_start(facts, comparison),
        _gate(decision),
        _limits(recipe, evaluation),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(recipe: Recipe, facts: CardFacts, decision: GateDecision | None) -> str:
    state = {None: "not asked", True: "passed", False: "refused"}[decision.passed if decision else None]
    time = (
        "an order without times" if facts.is_order_only else f"events before {facts.trained_until:%Y-%m-%d %H:%M} UTC"
    )
    rows = [
        ("model", recipe.model.name),
        ("recipe", f"{recipe.name} (`{recipe.digest[:12]}`)"),
        ("data", f"{facts.data}, snapshot `{facts.snapshot[:12]}`, {time}"),
        ("bundle", f"`{facts.digest[:12]}`"),
        ("training started", facts.origin or "from scratch"),
        ("gate", state),
    ]
    return f"# Model card: {recipe.name}\n\n" + markdown_table(("", ""), rows)


def _recipe(recipe: Recipe) -> str:
    return f"## Recipe\n\n```json\n{recipe.model_dump_json(indent=2)}\n```"


def _protocol(recipe: Recipe, evaluation: Evaluation) -> str:
    cut = {
        "time": "Everybody is cut at the same moments; training events lie strictly before the test part.",
        "leave_one_out": "The last event of each user is the target. Comparable with papers only.",
    }[recipe.split.kind]
    seen = "Items of the history are removed" if recipe.evaluation.remove_seen else "Items of the history are kept"
    return (
        f"## Protocol\n\n{cut} The whole catalogue of {evaluation.num_candidates:,} items is ranked through the path "
        f"that serves. {seen}. Values are means over a user's queries, then over users: {evaluation.num_users:,} "
        f"users, {evaluation.num_queries:,} queries. Intervals cover {recipe.evaluation.confidence:.0%}, from "
        f"{recipe.evaluation.bootstrap_samples:,} bootstrap samples over users."
    )


def _leakage(report: LeakageReport | None) -> str:
    if report is None:
        return ""
    told = (*report.leaks, *report.notes)
    rows = [
        (one.name, "**leak**" if one in report.leaks else "note", f"{one.what} {one.why}", one.advice) for one in told
    ]
    quiet = [one.name for one in report.findings if one not in told]
    lines = [f"{report.words[0].upper()}{report.words[1:]}."]
    lines += [markdown_table(("check", "", "what was seen", "what to do"), rows)] if rows else []
    lines += [f"Nothing was found by: {', '.join(quiet)}."] if quiet else []
    return "## Leakage audit\n\n" + "\n\n".join(lines)


def _metrics(evaluation: Evaluation) -> str:
    rows = []
    for name, value in sorted(evaluation.metrics.items()):
        if name.startswith(OWN_METRICS):
            continue  # told in words under fairness
        interval = evaluation.intervals.get(name)
        ends = f"{interval.lower:.4f} to {interval.upper:.4f}" if interval else ""
        chance = f"{evaluation.chance[name]:.4f}" if name in evaluation.chance else ""
        rows.append((name, f"{value:.4f}", ends, chance))
    return "## Metrics\n\n" + markdown_table(("metric", "value", "interval", "chance"), rows)


def _slices(evaluation: Evaluation) -> str:
    if not evaluation.slices:
        return ""
    first = next(iter(evaluation.slices.values()))
    names = [name for name in sorted(first) if name.startswith(("ndcg", "recall"))]
    rows = [
        (name, f"{figures['num_users']:,.0f}", *(f"{figures[metric]:.4f}" for metric in names))
        for name, figures in evaluation.slices.items()
    ]
    return "## Slices\n\n" + markdown_table(("slice", "users", *names), rows)


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return "## Against the champion\n\nThere was no champion to compare with."
    lines = [f"{comparison.words}; {comparison.probability_better:.1%} of the samples are in its favour."]
    lines += [f"- {name}: {part.words}" for name, part in comparison.slices.items()]
    return "## Against the champion\n\n" + "\n".join(lines)


def _warm_start(facts: CardFacts, comparison: Comparison | None) -> str:
    report = facts.warm_start
    if report is None:
        return ""
    older = comparison.slices.get(OLDER_USERS) if comparison else None
    rows = [
        ("parent", f"`{report.parent[:12]}`"),
        ("new events", f"since {report.since:%Y-%m-%d %H:%M} UTC"),
        ("items carried over", f"{report.items_carried:,}"),
        ("items new, from creator or category", f"{report.items_new - report.items_without_neighbours:,}"),
        ("items new, from the mean of all", f"{report.items_without_neighbours:,}"),
        ("items dropped", f"{report.items_dropped:,}"),
        ("forgetting, older users against the champion", older.words if older else "no older user in the test part")
        if comparison
        else ("forgetting", "judged when the gate is asked"),
    ]
    return "## Warm start\n\n" + markdown_table(("", ""), rows)


def _gate(decision: GateDecision | None) -> str:
    if decision is None:
        return ""
    rows = [(check.name, "passed" if check.passed else "**refused**", check.message) for check in decision.checks]
    return "## Gate\n\n" + markdown_table(("check", "", "what was seen"), rows)


def _limits(recipe: Recipe, evaluation: Evaluation) -> str:
    new_users = evaluation.slices.get("user=new", {}).get("num_users", 0.0) / evaluation.num_users
    lines = [
        f"{new_users:.1%} of the test users had no event in the training part.",
        f"{evaluation.missing_target_share:.1%} of the test events are of items outside the catalogue; "
        "no list could hold them, and they count as misses.",
        "The events were collected under another ranking: what was never shown could not be liked.",
    ]
    if recipe.split.kind == "leave_one_out":
        lines.append("Leave-one-out looks into the future of other users; do not expect these values from traffic.")
    return "## Known limits\n\n" + "\n".join(f"- {line}" for line in lines)
