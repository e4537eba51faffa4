"""Lists from a few candidates instead of all items, and which of the lists may not be right."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.vocabulary import PADDING
from recmodels.retrieval.catalogue import HIDDEN
from recmodels.retrieval.exact import at_least, low_bounds
from recmodels.retrieval.wish import Wish
from recmodels.scorers import EncoderScorer

_MARGIN = 16
"""Candidates beside those that filters are expected to take."""
_LEAST_SHARE = 0.5
"""Of the items on a shelf; where fewer may be shown, a graph would have to be searched for long."""
_MOST_SHARE = 0.05
"""Of all items as candidates; where more are wanted, scoring all is as fast."""
_COARSE_TIMES = 4
"""Lengths of the list that must be fewer than the most candidates."""


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
    scores = _scores(scorer, queries, candidates)
    is_finite = np.all(np.isfinite(scores), axis=1)
    wish.hide_candidates(scores, candidates)
    found = _chosen(wish.k, candidates, scores, is_finite, words="The graph gave the items near the history.")
    is_short = found.scores[:, -1] == -np.inf
    return replace(found, is_doubtful=found.is_doubtful | is_short)


def from_coarse(scorer: EncoderScorer, wish: Wish, queries: NDArray[np.float32]) -> Found | None:
    """Score in full what coarse scores leave in the running; None where the bundle has none, or the list is long.

    About k items with the largest coarse scores are scored first. What stays below the k-th of them even if its coarse
    score is off by the most that it can be is left out, so that the list is the exact one; it is in doubt where too
    many items are left. The arguments are those of `from_graph`.
    """
    most = int(_MOST_SHARE * scorer.vocabulary_size)
    if scorer.coarse is None or _COARSE_TIMES * wish.k > most:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite leaves every list in doubt
        coarse = scorer.coarse.of(_finite(queries))
        wish.hide_coarse(coarse.scores)
        first, _ = at_least(coarse.scores, np.maximum(low_bounds(coarse.scores, wish.k - 1), HIDDEN + 1), most=most)
        bounds = (_kth(_scores(scorer, queries, first), wish.k) - coarse.errors) / coarse.units
        whole = np.clip(np.floor(bounds) - 1, HIDDEN + 1, -HIDDEN).astype(np.int32)
        candidates, is_crowded = at_least(coarse.scores, whole, most=most)
        scores = _scores(scorer, queries, candidates)
    is_finite = np.all(np.isfinite(scores) | (candidates < 0), axis=1)
    is_certain = ~is_crowded & (bounds < np.inf) & is_finite
    words = "Coarse scores of every item that may be shown gave the ones to score in full."
    return _chosen(wish.k, np.maximum(candidates, PADDING), scores, is_certain, words=words)


def _kth(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return the k-th largest of each row, (B,); -inf where there are fewer."""
    place = scores.shape[1] - k
    if place < 0:
        return np.full(len(scores), -np.inf, dtype=np.float32)
    kth: NDArray[np.float32] = np.partition(scores, place, axis=1)[:, place]
    return kth


def _finite(queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return queries with zeros for the rows that no search can use; their lists are made from all items."""
    is_finite = np.all(np.isfinite(queries), axis=1, keepdims=True)
    return queries if is_finite.all() else np.where(is_finite, queries, np.float32(0))


def _scores(scorer: EncoderScorer, queries: NDArray[np.float32], columns: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the scores of items (B, C), (B, C); -inf for -1."""
    scores: NDArray[np.float32] = np.einsum("bcd,bd->bc", scorer.item_vectors[columns], queries)
    scores[columns < 0] = -np.inf
    return scores


def _chosen(
    k: int, candidates: NDArray[np.int32], scores: NDArray[np.float32], is_certain: NDArray[np.bool_], *, words: str
) -> Found:
    """Take the best of candidates (B, C), which come in ascending order, so that a tie goes to the smaller one."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    items = np.full((len(scores), k), PADDING, dtype=np.int32)
    best = np.full((len(scores), k), -np.inf, dtype=np.float32)
    rows, width = np.arange(len(scores))[:, None], order.shape[1]
    best[:, :width] = scores[rows, order]
    items[:, :width] = np.where(best[:, :width] > -np.inf, candidates[rows, order], PADDING)
    return Found(candidates, items, best, ~is_certain, words)
