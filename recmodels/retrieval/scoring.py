"""Lists from the scores of every item: what every search falls back to, and what training watches itself with."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.retrieval.catalogue import Shelf
from recmodels.retrieval.exact import top_columns
from recmodels.retrieval.wish import Wish
from recmodels.scorers import FactorScorer, ItemItemScorer, is_blank
from recmodels.slates import TopK

_CHUNK_BYTES = 32 * 2**20  # scores of one chunk and what is made of them; larger chunks are no faster
_BYTES_PER_SCORE = 8  # float32 score, and flags


class GivesScores(Protocol):
    """An exported scorer, or a model that is still in training."""

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V)."""
        ...


def rows_at_once(vocabulary_size: int) -> int:
    """Return how many histories are scored together, so that memory stays bounded whatever the catalogue."""
    return max(1, _CHUNK_BYTES // (_BYTES_PER_SCORE * vocabulary_size))


def scores_of(model: GivesScores, histories: Histories, *, item_counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a model's scores, with the items' counts in their place where the model has none to give.

    An item-to-item table says nothing about a history without a known item, nor do factors. An encoder does: it
    learned which items come first, and that is worth 0.006 of ndcg_at_10 over popular items on ML-100K's validation
    part.

    Args:
        model: Gives (B, V) scores.
        histories: B rows.
        item_counts: (V,) training interactions of each item.
    """
    scores = model.score(histories)
    scores[is_silent(model, histories)] = item_counts
    return scores


def is_silent(model: GivesScores, histories: Histories) -> NDArray[np.bool_]:
    """Return of which histories a model says nothing, (B,): `scores_of` puts counts in the place of its scores."""
    says_nothing = isinstance(model, ItemItemScorer | FactorScorer)
    return is_blank(histories) if says_nothing else np.zeros(len(histories), dtype=np.bool_)


def rank(scores: NDArray[np.float32], *, k: int, seen: Histories | None, allowed: NDArray[np.bool_]) -> TopK:
    """Choose the k best allowed items of every row; ties go to the smaller item index.

    Args:
        scores: (B, V); changed in place.
        k: Most items a list, at least 1.
        seen: B histories whose items are left out; None leaves none out.
        allowed: (V,) False for items that are never shown.

    Returns:
        Lists of length k, shorter ones filled with item 0.
    """
    penalties = np.where(allowed, np.float32(0), np.float32(-np.inf))
    rows, columns = np.zeros(0, np.int64), np.zeros(0, np.int32)
    if seen is not None:
        rows, columns = seen.flat()
    no_histories = Histories(columns[:0], rows[:0], *np.zeros((2, len(scores)), np.int64))
    return best(scores, Wish(no_histories, k, (Shelf(penalties),), np.zeros(len(scores), np.intp), rows, columns))


def best(scores: NDArray[np.float32], wish: Wish) -> TopK:
    """Choose from the scores of every item, (B, V), which are changed."""
    is_finite = np.all(np.isfinite(scores[:, FIRST_ITEM:]), axis=1)
    if not is_finite.all():
        scores[~np.isfinite(scores)] = -np.inf
    scores[:, :FIRST_ITEM] = -np.inf
    wish.hide(scores)
    columns = top_columns(scores, wish.k)  # (B, width), narrower than k in a small catalogue
    batch, width = columns.shape
    items = np.full((batch, wish.k), PADDING, dtype=np.int32)
    values = np.full((batch, wish.k), -np.inf, dtype=np.float32)
    values[:, :width] = np.take_along_axis(scores, columns, axis=1)
    items[:, :width] = np.where(values[:, :width] > -np.inf, columns, PADDING)
    return TopK(items, values, ~is_finite)


def merged(parts: Sequence[tuple[NDArray[np.int64], TopK]]) -> TopK:
    """Return lists that were made in parts.

    Args:
        parts: Rows and their lists; together every row once.
    """
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return TopK(
        np.concatenate([top.items for _, top in parts])[order],
        np.concatenate([top.scores for _, top in parts])[order],
        np.concatenate([top.non_finite for _, top in parts])[order],
    )


def compete(top: TopK, scores: NDArray[np.float32], wish: Wish, *, start: int) -> TopK:
    """Let newcomers into lists of known items, by score; a tie goes to the known item.

    Args:
        top: Lists of known items.
        scores: (B, M) of the newcomers; changed in place.
        wish: What the lists must hold.
        start: The catalogue's column of the first newcomer.
    """
    is_finite = np.isfinite(scores)
    scores[~is_finite] = -np.inf
    wish.hide(scores, start=start)
    everything = np.concatenate([top.scores, scores], axis=1)  # (B, k + M)
    chosen = top_columns(everything, wish.k)
    values = np.take_along_axis(everything, chosen, axis=1)
    known = np.take_along_axis(top.items, np.minimum(chosen, wish.k - 1), axis=1)
    items = np.where(chosen < wish.k, known, chosen - wish.k + start)
    items = np.where(values > -np.inf, items, PADDING).astype(np.int32)
    return TopK(items, values, top.non_finite | ~np.all(is_finite, axis=1))
