"""A list as a person reads it: with what the catalogue says of each item."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.serving.ranking import Ranking
from infra.serving.schemas import ExplainedItem, ExplainedList, Role
from infra.serving.slots import LoadedModel, Slot
from recmodels.data.schema import CATEGORY, CREATOR_ID, SURFACE, TEXT
from recmodels.data.vocabulary import FIRST_ITEM


def explain_list(role: Role, slot: Slot, ranking: Ranking) -> ExplainedList:
    """Return a slot's list with its items described; items that its catalogue lacks have empty texts."""
    facts = _describe(slot.loaded, ranking.item_ids)
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
            )
            for item_id, score, fact in zip(ranking.item_ids, scores, facts, strict=True)
        ],
        fallback_reason=ranking.fallback_reason,
    )


def _describe(loaded: LoadedModel | None, item_ids: Sequence[str]) -> list[dict[str, Any]]:
    if loaded is None:
        return [{} for _ in item_ids]
    bundle = loaded.ranker.bundle
    rows = bundle.vocabulary.encode(list(item_ids)) - FIRST_ITEM
    known = bundle.items.take(np.maximum(rows, 0)).to_pylist() if len(bundle.items) else [{}] * len(rows)
    return [fact if row >= 0 else {} for row, fact in zip(rows.tolist(), known, strict=True)]
