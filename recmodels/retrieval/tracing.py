"""How one list came about, told stage by stage from the scores of the whole catalogue."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.lists import Pool
from recmodels.slates import Ask, Rejected, Slate, Trace, TraceStage

_REASONS = ("seen", "excluded", "blocked", "safety", "surface")
_WORDS = (
    "Items of the user's history.",
    "Items that this request leaves out.",
    "Items taken down since the model was trained.",
    "Items that were labelled unsafe.",
    "Items of other surfaces.",
)
_NOT_RETRIEVED = "not retrieved"
_MOST_REJECTED = 50


def reasons(ask: Ask, catalogue: Catalogue, *, blocked: Collection[str], remove_seen: bool) -> NDArray[np.int8]:
    """Return why each column must not be shown, (W,): the number of the first reason from 1 on, 0 for none."""
    why = np.zeros(catalogue.size, dtype=np.int8)
    why[~catalogue.fits(ask.surface)] = 5
    why[~catalogue.is_safe] = 4
    why[catalogue.encode(list(blocked))] = 3
    why[catalogue.encode(list(ask.exclude))] = 2
    if remove_seen:
        why[catalogue.encode(list(ask.item_ids))] = 1
    return why


def trace(
    slate: Slate, scores: NDArray[np.float32], *, k: int, why: NDArray[np.int8], pool: Pool, catalogue: Catalogue
) -> Trace:
    """Return a list with its stages and the better items that are not in it.

    Args:
        slate: The list, as it was answered.
        scores: (W,) of every column, newcomers included.
        k: How many items were wanted.
        why: (W,) as `reasons` gives them.
        pool: The known items that were compared.
        catalogue: W columns.
    """
    size = catalogue.vocabulary.size
    num_items, num_new = size - FIRST_ITEM, catalogue.size - size
    kept = len(pool.columns)
    stages = [
        TraceStage("catalogue", num_items, 0, f"The model knows {num_items} items."),
        TraceStage("retrieval", kept, num_items - kept, pool.words),
    ]
    removed_by = np.bincount(why[pool.columns], minlength=len(_REASONS) + 1)[1:].tolist()
    for reason, removed, words in zip(_REASONS, removed_by, _WORDS, strict=True):
        kept -= removed
        stages.append(TraceStage(f"filter {reason}", kept, removed, words))
    fresh = int((why[size:] == 0).sum())
    kept += fresh
    stages.append(TraceStage("newcomers", kept, 0, f"{fresh} of {num_new} items that are newer than the model join."))
    shown = len(slate.item_ids)
    stages.append(TraceStage("ranking", shown, kept - shown, f"The best {shown} by score; {k} were wanted."))
    return Trace(tuple(stages), slate, _rejected(slate, scores, k=k, why=why, pool=pool, catalogue=catalogue))


def _rejected(
    slate: Slate, scores: NDArray[np.float32], *, k: int, why: NDArray[np.int8], pool: Pool, catalogue: Catalogue
) -> tuple[Rejected, ...]:
    lowest = slate.scores[-1] if len(slate.item_ids) == k else -np.inf
    is_missed = why == 0
    is_missed[catalogue.vocabulary.size :] = False
    is_missed[pool.columns] = False
    better = np.isfinite(scores) & (((why > 0) & (scores >= lowest)) | (is_missed & (scores > lowest)))
    better[:FIRST_ITEM] = False
    columns = np.flatnonzero(better)
    best = columns[np.lexsort((columns, -scores[columns]))][:_MOST_REJECTED]
    names = np.array([_NOT_RETRIEVED, *_REASONS])
    rows = zip(catalogue.decode(best), names[why[best]].tolist(), scores[best].tolist(), strict=True)
    return tuple(Rejected(*row) for row in rows)
