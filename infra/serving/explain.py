"""A list as a person reads it: stage by stage, with what the catalogue says of each item."""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.histories import UserHistory
from infra.serving.ranking import Ranking, Wish, ask_of, make_ranking
from infra.serving.schemas import ExplainedItem, ExplainedList, ExplainedPrediction, ExplainedStage, RejectedItem, Role
from infra.serving.slots import LoadedModel, Slot
from infra.serving.watcher import View
from recmodels.data.schema import CATEGORY, CREATOR_ID, SURFACE, TEXT
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.slates import Trace

_log = logging.getLogger(__name__)

TRACE_SECONDS = 2.0
"""How long an explanation may take; it is made in the model's own thread."""

_REASONS = {
    "not_loaded": "the model is not loaded",
    "unknown_user": "the user has no history, so no model is asked",
    "unknown_items": "the model knows no item of the history",
    "paused": "the model failed several times in a row and is left alone for a while",
    "late": "the model did not answer in time",
    "error": "the model failed",
    "not_finite": "the model gave scores that are not finite numbers",
}


async def explain_list(role: Role, slot: Slot, history: UserHistory, wish: Wish, *, view: View) -> ExplainedList:
    """Return what a slot would answer, and how that comes about."""
    ranking = await make_ranking(slot, history, wish, view=view)
    trace = await _trace(slot, history, wish, view=view)
    facts = _describe(slot.loaded, ranking.item_ids, view=view)
    expected = _predictions(trace)
    scores: Sequence[float | None] = ranking.scores or (None,) * len(ranking.item_ids)
    return ExplainedList(
        role=role,
        model_version=str(slot.reference.version),
        model=slot.loaded.model if slot.loaded else "",
        items=[
            ExplainedItem(
                item_id=item_id,
                score=score,
                text=fact.get(TEXT) or "",
                category=fact.get(CATEGORY) or "",
                creator_id=fact.get(CREATOR_ID) or "",
                surface=fact.get(SURFACE) or "",
                prediction=expected.get(item_id),
            )
            for item_id, score, fact in zip(ranking.item_ids, scores, facts, strict=True)
        ],
        stages=_stages(trace, ranking),
        rejected=[
            RejectedItem(item.item_id, item.reason, item.score if math.isfinite(item.score) else None)
            for item in (trace.rejected if trace else ())
        ],
        fallback_reason=ranking.fallback_reason,
    )


async def _trace(slot: Slot, history: UserHistory, wish: Wish, *, view: View) -> Trace | None:
    """Return how the model's list comes about; None where it is not asked, or cannot tell."""
    model = slot.loaded
    if model is None or not history.item_ids:
        return None
    ask, standing = ask_of(history, wish), view.standing(model.digest)

    def explain() -> Trace:
        return model.ranker.explain(ask, blocked=standing.blocked, newcomers=standing.newcomers)

    try:
        flight = asyncio.get_running_loop().run_in_executor(model.executor, explain)
        return await asyncio.wait_for(flight, TRACE_SECONDS)
    except Exception as error:  # noqa: BLE001 - a door: a model that fails is shown with the reason of its fallback
        _log.warning("not explained digest=%s problem=%r", model.digest, error)
        return None


def _predictions(trace: Trace | None) -> dict[str, ExplainedPrediction]:
    """Return what the second stage expects of each item that the model would show."""
    if trace is None or not trace.predictions:
        return {}
    return {
        item_id: ExplainedPrediction(dict(one.probabilities), one.watch_seconds, one.utility)
        for item_id, one in zip(trace.slate.item_ids, trace.predictions, strict=True)
    }


def _stages(trace: Trace | None, ranking: Ranking) -> list[ExplainedStage]:
    """Return the model's stages, then what the gateway did with its list."""
    stages = (
        [ExplainedStage(stage.name, stage.kept, stage.removed, stage.words) for stage in trace.stages] if trace else []
    )
    kept = len(ranking.item_ids)
    if ranking.num_blocked:
        words = "left out what the database or the champion's catalogue blocks and the model's own catalogue allows"
        stages.append(ExplainedStage("safety check", kept, ranking.num_blocked, words))
    if ranking.fallback_reason:
        words = f"popular items instead: {_REASONS.get(ranking.fallback_reason, ranking.fallback_reason)}"
        stages.append(ExplainedStage("fallback", kept, 0, words))
    return stages


def _describe(loaded: LoadedModel | None, item_ids: Sequence[str], *, view: View) -> list[dict[str, Any]]:
    """Return what the catalogue or the segment of new items says of each item; nothing of one that neither knows."""
    if loaded is None:
        return [{} for _ in item_ids]
    bundle = loaded.ranker.bundle
    rows = bundle.vocabulary.encode(list(item_ids)) - FIRST_ITEM
    known = bundle.items.take(np.maximum(rows, 0)).to_pylist() if len(bundle.items) else [{}] * len(rows)
    newcomers = view.standing(loaded.digest).newcomers
    facts = []
    for item_id, row, fact in zip(item_ids, rows.tolist(), known, strict=True):
        new = newcomers.index_of.get(item_id) if newcomers is not None and row < 0 else None
        if newcomers is not None and new is not None:
            facts.append(newcomers.items.slice(new, 1).to_pylist()[0])
        else:
            facts.append(fact if row >= 0 else {})
    return facts
