"""How one list came about, told stage by stage from the scores of the whole catalogue."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.ranking.judge import Judged
from recmodels.reranking.chain import Effect
from recmodels.reranking.pool import Pool as Candidates
from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.lists import Pool
from recmodels.slates import Ask, Prediction, Rejected, Slate, Trace, TraceStage

_REASONS = ("seen", "excluded", "blocked", "safety", "surface")
_WORDS = (
    "Items of the user's history.",
    "Items that this request leaves out.",
    "Items taken down since the model was trained.",
    "Items that were labelled unsafe.",
    "Items of other surfaces.",
)
_MISSED, _RERANKED = 6, 7
_MOST_REJECTED = 50


def reasons(ask: Ask, catalogue: Catalogue, *, blocked: Collection[str], remove_seen: bool) -> NDArray[np.int8]:
    """Return why each column must not be shown, (W,): the number of the first reason from 1 on, 0 for none."""
    why = np.zeros(catalogue.size, dtype=np.int8)
    why[~catalogue.fits(ask.surface)] = 5
    why[~catalogue.safe_for(ask.surface, ask.age)] = 4
    why[catalogue.encode(list(blocked))] = 3
    why[catalogue.encode(list(ask.exclude))] = 2
    if remove_seen:
        why[catalogue.encode(list(ask.item_ids))] = 1
    return why


def trace(
    slate: Slate,
    scores: NDArray[np.float32],
    *,
    k: int,
    why: NDArray[np.int8],
    pool: Pool,
    catalogue: Catalogue,
    stages: Sequence[TraceStage] | None = None,
) -> Trace:
    """Return a list with its stages and the better items that are not in it.

    Args:
        slate: The list, as it was answered.
        scores: (W,) of every column, newcomers included.
        k: How many items were wanted.
        why: (W,) as `reasons` gives them.
        pool: The known items that were compared.
        catalogue: W columns.
        stages: What re-ranking did to the best of them; None where nothing is re-ranked.
    """
    size = catalogue.vocabulary.size
    num_items, num_new = size - FIRST_ITEM, catalogue.size - size
    kept = len(pool.columns)
    told = [
        TraceStage("catalogue", num_items, 0, f"The model knows {num_items} items."),
        TraceStage("retrieval", kept, num_items - kept, pool.words),
    ]
    removed_by = np.bincount(why[pool.columns], minlength=len(_REASONS) + 1)[1:].tolist()
    for reason, removed, words in zip(_REASONS, removed_by, _WORDS, strict=True):
        kept -= removed
        told.append(TraceStage(f"filter {reason}", kept, removed, words))
    fresh = int((why[size:] == 0).sum())
    kept += fresh
    told.append(TraceStage("newcomers", kept, 0, f"{fresh} of {num_new} items that are newer than the model join."))
    if stages is None:
        shown = len(slate.item_ids)
        told.append(TraceStage("ranking", shown, kept - shown, f"The best {shown} by score; {k} were wanted."))
    else:
        best = stages[0].kept + stages[0].removed if stages else 0
        told.append(TraceStage("ranking", best, kept - best, f"The best {best} by score are the candidates."))
        told += stages
    rejected = _rejected(slate, scores, k=k, why=why, pool=pool, catalogue=catalogue)
    return Trace(tuple(told), slate, rejected)


def stages_of(effects: Sequence[Effect], *, k: int) -> list[TraceStage]:
    """Return what re-ranking did as stages.

    Args:
        effects: Of each stage, in order; safety is the last.
        k: How many items were wanted.
    """
    words = [
        f"{effect.moved} of the first {k} places changed, {effect.entered} items came in." for effect in effects[:-1]
    ]
    words.append("The first of them, after a last look at labels, surface, age and takedowns.")
    return [
        TraceStage(f"re-rank {effect.name}", effect.kept, effect.removed, text)
        for effect, text in zip(effects, words, strict=True)
    ]


def ranking_stage(found: Candidates, ranked: Candidates, *, k: int, retrieval: float) -> TraceStage:
    """Return what the second stage did to the candidates that retrieval found.

    Args:
        found: In retrieval's order.
        ranked: In the second stage's.
        k: How many items were wanted.
        retrieval: How far retrieval's order counts there, see `Utility.retrieval`.
    """
    heard = f" and, weighed {retrieval:g}, by retrieval's own score" if retrieval else ""
    before, after = (set(pool.columns[: pool.num_retrieved][:k].tolist()) for pool in (found, ranked))
    words = (
        f"{found.num_retrieved} candidates ranked by the utility of what would come of showing them{heard}: "
        f"{len(after - before)} of the first {k} were not there by the score of retrieval."
    )
    kept = len(ranked)
    return TraceStage("rank utility", kept, len(found) - kept, words)


def predictions(judged: Judged) -> tuple[Prediction, ...]:
    """Return what a second stage expects of each item."""
    rows = zip(judged.probabilities.tolist(), judged.watch.tolist(), judged.utilities.tolist(), strict=True)
    return tuple(
        Prediction(
            probabilities=dict(zip(judged.tasks, chances, strict=True)),
            watch_seconds=seconds if np.isfinite(seconds) else None,
            utility=utility,
        )
        for chances, seconds, utility in rows
    )


def _rejected(
    slate: Slate, scores: NDArray[np.float32], *, k: int, why: NDArray[np.int8], pool: Pool, catalogue: Catalogue
) -> tuple[Rejected, ...]:
    lowest = min(scores[catalogue.encode(slate.item_ids)]) if len(slate.item_ids) == k else -np.inf
    is_missed = why == 0
    is_missed[catalogue.vocabulary.size :] = False
    is_missed[pool.columns] = False
    why = np.where(is_missed, _MISSED, why)
    is_reranked = (why == 0) & (scores > lowest)
    is_reranked[catalogue.encode(slate.item_ids)] = False
    why = np.where(is_reranked, _RERANKED, why)
    better = np.isfinite(scores) & (why > 0) & ((scores > lowest) | ((scores == lowest) & (why < _MISSED)))
    better[:FIRST_ITEM] = False
    columns = np.flatnonzero(better)
    best = columns[np.lexsort((columns, -scores[columns]))][:_MOST_REJECTED]
    names = np.array(["", *_REASONS, "not retrieved", "re-ranked"])
    rows = zip(catalogue.decode(best), names[why[best]].tolist(), scores[best].tolist(), strict=True)
    return tuple(Rejected(*row) for row in rows)
