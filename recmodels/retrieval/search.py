"""Lists from a few candidates instead of all items, and which of the lists may not be right."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import PADDING
from recmodels.retrieval.catalogue import HIDDEN
from recmodels.retrieval.exact import above
from recmodels.retrieval.wish import Wish
from recmodels.scorers import EncoderScorer

_MARGIN = 16
"""Candidates beside those that filters are expected to take."""
_LEAST_SHARE = 0.5
"""Of the items on a shelf; where fewer may be shown, a graph would have to be searched for long."""
_MOST_SHARE = 0.05
"""Of all items as candidates; where more are wanted, scoring all is as fast."""
_COARSE_TIMES, _COARSE_MORE = 4, 32
"""Candidates by coarse scores, in lengths of the list and beside them: enough that hardly a list stays in doubt."""


@dataclass(frozen=True, eq=False)
class Found:
    """Lists from candidates.

    Attributes:
        candidates: (B, C) int32 items that were scored, in ascending order; 0 where there are fewer.
        items: (B, k) int32 the best of them that may be shown; 0 where there are fewer.
        scores: (B, k) float32, as if all items had been scored; -inf where there are fewer.
        is_doubtful: (B,) fewer than k may be shown, or an item that is no candidate could be better.
        words: How candidates were found, for a person.
    """

    candidates: NDArray[np.int32]
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    is_doubtful: NDArray[np.bool_]
    words: str


def from_graph(scorer: EncoderScorer, wish: Wish, queries: NDArray[np.float32]) -> Found | None:
    """Ask the graph for so many items that the filters leave k; None without one, or where many items are hidden.

    Args:
        scorer: Whose vectors score the candidates anew, so that scores do not tell how an item was found.
        wish: B lists.
        queries: (B, D) encoded histories.
    """
    share = min(shelf.share for shelf in wish.shelves)
    if scorer.graph is None or share < _LEAST_SHARE:
        return None
    left_out = int(np.bincount(wish.rows, minlength=1).max())
    count = math.ceil((wish.k + left_out) / share) + _MARGIN
    if count > _MOST_SHARE * scorer.vocabulary_size:
        return None
    candidates = np.sort(scorer.graph.search(_finite(queries), count), axis=1)
    found = _chosen(scorer, wish, queries, candidates, words="The graph gave the items near the history.")
    is_short = found.scores[:, -1] == -np.inf
    return replace(found, is_doubtful=found.is_doubtful | is_short)


def from_coarse(scorer: EncoderScorer, wish: Wish, queries: NDArray[np.float32]) -> Found | None:
    """Take the best that may be shown by coarse scores; None where the bundle has none, or the list is long.

    The list is the exact one unless it is doubtful. The arguments are those of `from_graph`.
    """
    count = _COARSE_TIMES * wish.k + _COARSE_MORE
    if scorer.coarse is None or count > _MOST_SHARE * scorer.vocabulary_size:
        return None
    with np.errstate(over="ignore"):  # bounds that are not finite leave every list in doubt
        coarse = scorer.coarse.of(_finite(queries))
    wish.hide_coarse(coarse.scores)
    candidates, others = above(coarse.scores, count)
    bounds = np.where(others > HIDDEN, others * coarse.units + coarse.errors, -np.inf)
    words = "Coarse scores of every item that may be shown gave the ones to score in full."
    found = _chosen(scorer, wish, queries, np.maximum(candidates, PADDING), words=words)
    is_certain = (found.scores[:, -1] > bounds) | (bounds == -np.inf)
    return replace(found, is_doubtful=found.is_doubtful | ~is_certain)


def _finite(queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return queries with zeros for the rows that no search can use; their lists are made from all items."""
    is_finite = np.all(np.isfinite(queries), axis=1, keepdims=True)
    return queries if is_finite.all() else np.where(is_finite, queries, np.float32(0))


def _chosen(
    scorer: EncoderScorer,
    wish: Wish,
    queries: NDArray[np.float32],
    candidates: NDArray[np.int32],
    *,
    words: str,
) -> Found:
    """Score candidates (B, C) in full and take the best; a row with a score that is not finite is in doubt.

    Candidates come in ascending order, so that a stable sort leaves a tie to the smaller one; padding stands anywhere.
    """
    scores = np.einsum("bcd,bd->bc", scorer.item_vectors[candidates], queries)
    is_finite = np.all(np.isfinite(scores), axis=1)
    wish.hide_candidates(scores, candidates)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : wish.k]
    rows = np.arange(len(wish))[:, None]
    items, best = candidates[rows, order], scores[rows, order]
    return Found(candidates, np.where(best > -np.inf, items, PADDING), best, ~is_finite, words)
