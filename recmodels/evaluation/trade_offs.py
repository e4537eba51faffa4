"""What re-ranking costs and brings: the same bundle with its stages pulled less and more, measured like a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from recmodels.bundle import Bundle
from recmodels.data.splits import Queries
from recmodels.evaluation.evaluator import evaluate
from recmodels.ranker import Ranker
from recmodels.recipe import EvaluationConfig
from recmodels.reranking.config import RerankingConfig, StageChoice
from recmodels.safety import SafetyPolicy

RELEVANCE: Final = "ndcg_at_10"
MEASURES: Final = {
    "distance_at_10": "distance within a list at 10 (1 - cosine)",
    "diversity_at_10": "pairs without a common category at 10",
    "coverage_at_10": "coverage of the catalogue at 10",
    "creator_gini_at_10": "Gini of creators' exposure at 10",
}
"""What is drawn against relevance, with its words."""

_MOST_QUERIES = 1_000


@dataclass(frozen=True)
class TradeOff:
    """One point of a curve.

    Attributes:
        strength: Of the stage, or the factor of all stages' strengths; 0 is the list by score.
        metrics: Those of an evaluation, without intervals.
    """

    strength: float
    metrics: dict[str, float]


def with_stages(bundle: Bundle, reranking: RerankingConfig) -> Bundle:
    """Return the bundle in memory with another re-ranking; nothing is written."""
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"reranking": reranking}))


def scaled(reranking: RerankingConfig, factor: float) -> RerankingConfig:
    """Return the stages with every strength and rate times a factor, 1 at most; 0 leaves all of them out."""
    if factor == 0:
        return reranking.model_copy(update={"stages": ()})
    return reranking.model_copy(update={"stages": tuple(_scaled(stage, factor) for stage in reranking.stages)})


def trade_offs(
    bundle: Bundle,
    queries: Queries,
    *,
    releases: Sequence[tuple[float, RerankingConfig]],
    remove_seen: bool,
    safety: SafetyPolicy | None = None,
) -> list[TradeOff]:
    """Measure one bundle with several re-rankings on the same queries, evenly chosen, at most 1,000 of them.

    Args:
        bundle: The model; `queries` are in its vocabulary.
        queries: Histories and targets.
        releases: Strength and re-ranking of each point.
        remove_seen: Items of the history are not recommended again.
        safety: Terms under which labelled items are shown.
    """
    rows = np.linspace(0, len(queries) - 1, min(_MOST_QUERIES, len(queries))).astype(np.int64)
    chosen = Queries(
        histories=queries.histories.take(rows),
        targets=queries.targets.take(rows),
        user_ids=queries.user_ids[rows],
        surfaces=queries.surfaces[rows],
        is_new_user=queries.is_new_user[rows],
        is_order_only=queries.is_order_only,
    )
    config = EvaluationConfig(top_ks=(10,), remove_seen=remove_seen, bootstrap_samples=100)
    return [
        TradeOff(strength, evaluate(Ranker(with_stages(bundle, one), safety), chosen, config=config, seed=0).metrics)
        for strength, one in releases
    ]


def _scaled(stage: StageChoice, factor: float) -> StageChoice:
    pulled = {
        name: min(1.0, factor * float(value))
        for name, value in stage.config.items()
        if name in {"strength", "rate"} and isinstance(value, int | float)
    }
    return StageChoice(name=stage.name, config=stage.config | pulled)
