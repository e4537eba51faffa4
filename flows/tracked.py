"""What MLflow keeps of a model's training and evaluation."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.clock import utc_now
from flows.leakage import audited
from flows.references import Snapshot, Trained
from flows.wiring import Platform
from recmodels.bundle import load_bundle
from recmodels.data.splits import Split
from recmodels.evaluation import plots
from recmodels.evaluation.comparison import Comparison
from recmodels.evaluation.gate import GateDecision
from recmodels.evaluation.model_card import CardFacts, render
from recmodels.evaluation.record import Evaluation
from recmodels.evaluation.trade_offs import scaled, trade_offs
from recmodels.manifest import verify
from recmodels.recipe import Recipe
from recmodels.training.trainer import EpochMetrics

_FACTORS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)

BUNDLE_FOLDER = "bundle"
"""Where a run keeps its bundle among its artifacts."""

EVALUATION_FOLDER = "evaluation"
"""Name of the folder of an evaluation, beside the run's other files."""


def track_epoch(home: Platform, run_id: str, epoch: EpochMetrics) -> None:
    """Log what an epoch came to."""
    figures = {"loss": epoch.loss, "validation_ndcg_at_10": epoch.ndcg_at_10}
    home.tracker.log_metrics(run_id, figures, step=epoch.epoch)


def track_training(home: Platform, trained: Trained, epochs: list[EpochMetrics]) -> None:
    """Log what training came to, and keep the bundle and the curve of losses."""
    tracker = home.tracker
    tracker.log_metrics(trained.run_id, {f"validation_{name}": value for name, value in trained.validation.items()})
    tracker.set_tags(trained.run_id, {"bundle": trained.digest, "best_epoch": str(trained.best_epoch)})
    tracker.log_folder(trained.run_id, home.settings.bundles / trained.digest, folder=BUNDLE_FOLDER)
    if epochs:
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / "loss.png"
            plots.loss_curve(epochs, path)
            tracker.log_file(trained.run_id, path, folder="plots")


def track_evaluation(home: Platform, trained: Trained, snapshot: Snapshot, evaluation: Evaluation) -> None:
    """Log every figure with its interval and by slice, keep the evaluation and the card, and end the run."""
    tracker = home.tracker
    bounds = {f"{name}_lower": interval.lower for name, interval in evaluation.intervals.items()}
    bounds |= {f"{name}_upper": interval.upper for name, interval in evaluation.intervals.items()}
    tracker.log_metrics(trained.run_id, evaluation.metrics | bounds)
    for name, figures in evaluation.slices.items():
        slug = name.replace("=", "_")
        tracker.log_metrics(trained.run_id, {f"slice_{slug}_{metric}": value for metric, value in figures.items()})
    with TemporaryDirectory() as scratch:
        picture = Path(scratch) / "popularity_of_recommended.png"
        bundle = load_bundle(home.settings.bundles, trained.digest)
        plots.popularity_of_recommended(evaluation, bundle.item_counts, picture)
        tracker.log_file(trained.run_id, picture, folder="plots")
    track_card(home, trained, snapshot, evaluation)
    tracker.set_tags(trained.run_id, {"leakage": audited(home, snapshot, trained.recipe).words})
    tracker.log_folder(trained.run_id, home.settings.runs / trained.key / EVALUATION_FOLDER, folder="evaluation")
    tracker.finish(trained.run_id)


def track_trade_offs(home: Platform, trained: Trained, split: Split) -> None:
    """Draw what the recipe's re-ranking costs and brings, from none to twice its strength; nothing without a stage."""
    bundle = load_bundle(home.settings.bundles, trained.digest)
    if not bundle.manifest.reranking.is_active:
        return
    releases = [(factor, scaled(bundle.manifest.reranking, factor)) for factor in _FACTORS]
    points = trade_offs(
        bundle,
        split.test,
        releases=releases,
        remove_seen=trained.recipe.evaluation.remove_seen,
        safety=home.settings.safety,
    )
    with TemporaryDirectory() as scratch:
        picture = Path(scratch) / "trade_offs.png"
        plots.trade_offs({trained.recipe.name: points}, picture)
        home.tracker.log_file(trained.run_id, picture, folder="plots")


def track_card(
    home: Platform,
    trained: Trained,
    snapshot: Snapshot,
    evaluation: Evaluation,
    *,
    comparison: Comparison | None = None,
    decision: GateDecision | None = None,
) -> None:
    """Keep the model card with the run, over an earlier one that did not know the gate's decision yet."""
    manifest = verify(home.settings.bundles, trained.digest)
    facts = CardFacts(
        data=snapshot.name,
        snapshot=snapshot.fingerprint,
        digest=trained.digest,
        trained_until=manifest.trained_until,
        is_order_only=snapshot.is_order_only,
        origin=trained.origin,
        warm_start=manifest.warm_start,
        leakage=audited(home, snapshot, trained.recipe),
    )
    card = render(trained.recipe, facts, evaluation=evaluation, comparison=comparison, decision=decision)
    home.tracker.log_text(trained.run_id, card, file="model_card.md")


def tags_of(recipe: Recipe, snapshot: Snapshot) -> dict[str, str]:
    """Return what a model's run is found by."""
    return {
        "model": recipe.model.name,
        "recipe": recipe.name,
        "recipe.digest": recipe.digest,
        "snapshot": snapshot.fingerprint,
        "data": snapshot.name,
        "commit": commit(),
        "started": utc_now().isoformat(timespec="seconds"),
    }


@cache
def commit() -> str:
    """Return the commit of the code that runs, or `unknown` outside of a checkout."""
    command = ("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - our own
    except FileNotFoundError:
        return "unknown"
    return result.stdout.strip() or "unknown"
