"""History -> scores -> filter -> top k: the one path by which lists are made, offline and served."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.schema import SAFETY, SURFACE
from recmodels.data.vocabulary import FIRST_ITEM, PADDING, Vocabulary
from recmodels.retrieval.exact import top_columns
from recmodels.scorers import ItemItemScorer

_CHUNK_BYTES = 64 * 2**20  # scores and sort keys of one chunk; larger chunks are no faster
_BYTES_PER_SCORE = 24  # float32 score, flags, and a uint64 key with its partitioned copy


class GivesScores(Protocol):
    """An exported scorer, or a model that is still in training."""

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V)."""
        ...


@dataclass(frozen=True)
class Slate:
    """One ordered list to show.

    Attributes:
        item_ids: At most k raw ids, best first.
        scores: The model's score of each.
        propensities: The probability of each item at its place; 1 where nothing is drawn at random.
        non_finite: The model gave a score that is not a finite number; such items are never in the list.
    """

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    non_finite: bool


@dataclass(frozen=True, eq=False)
class TopK:
    """Ordered lists for B histories.

    Attributes:
        items: (B, k) int32 item indices, best first; 0 where a list is short.
        scores: (B, k) float32; -inf where a list is short.
        non_finite: (B,) the model gave a score that is not a finite number.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    non_finite: NDArray[np.bool_]


def rows_at_once(vocabulary_size: int) -> int:
    """Return how many histories are scored together, so that memory stays bounded whatever the catalogue."""
    return max(1, _CHUNK_BYTES // (_BYTES_PER_SCORE * vocabulary_size))


def scores_of(model: GivesScores, histories: Histories, *, item_counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a model's scores, with the items' counts in their place where the model has none to give.

    An item-to-item table says nothing about a history without a known item. An encoder does: it learned which items
    come first, and that is worth 0.006 of ndcg_at_10 over popular items on ML-100K's validation part.

    Args:
        model: Gives (B, V) scores.
        histories: B rows.
        item_counts: (V,) training interactions of each item.
    """
    scores = model.score(histories)
    if isinstance(model, ItemItemScorer):
        rows, items = histories.flat()
        is_empty = np.ones(len(histories), dtype=np.bool_)
        is_empty[rows[items >= FIRST_ITEM]] = False
        scores[is_empty] = item_counts
    return scores


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
    finite = np.isfinite(scores)
    non_finite: NDArray[np.bool_] = ~np.all(finite[:, FIRST_ITEM:], axis=1)
    finite &= allowed
    finite[:, :FIRST_ITEM] = False
    if seen is not None:
        rows, items = seen.flat()
        finite[rows, items] = False
    scores[~finite] = -np.inf
    return _best(scores, k, non_finite)


def _best(scores: NDArray[np.float32], k: int, non_finite: NDArray[np.bool_]) -> TopK:
    columns = top_columns(scores, k)  # (B, width), narrower than k in a small catalogue
    batch, width = columns.shape
    items = np.full((batch, k), PADDING, dtype=np.int32)
    values = np.full((batch, k), -np.inf, dtype=np.float32)
    values[:, :width] = np.take_along_axis(scores, columns, axis=1)
    items[:, :width] = np.where(values[:, :width] > -np.inf, columns, PADDING)
    return TopK(items, values, non_finite)


class Ranker:
    """Makes lists with one bundle.

    Args:
        bundle: What is deployed. Items whose `safety` is ``blocked`` are never shown, and an item-to-item
            model answers a history without any item that it knows with popular items.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._allowed = _not_blocked(bundle)
        self._surfaces = _surface_masks(bundle.items, bundle.vocabulary)

    def recommend(
        self,
        history_item_ids: Sequence[str],
        history_timestamps: Sequence[int] | None = None,
        *,
        k: int,
        exclude: Collection[str] = (),
        surface: str | None = None,
        blocked: Collection[str] = (),
        remove_seen: bool = True,
    ) -> Slate:
        """Make one list.

        Args:
            history_item_ids: The user's items, oldest first; may be empty, unknown ids count as unknown items.
            history_timestamps: Microseconds since 1970 of each event; puts the history in order where given.
            k: Most items in the list, at least 1.
            exclude: Ids to leave out for this user.
            surface: Leaves out items of other surfaces. Items without a surface belong to all, and a surface that no
                item has leaves out nothing, since it then tells of the visit rather than of the items.
            blocked: Ids to leave out for everybody, such as takedowns since the bundle was built.
            remove_seen: Leave out the items of the history.

        Raises:
            ValueError: `k` is below 1, or there is not one timestamp an item.
        """
        vocabulary = self.bundle.vocabulary
        history = _one_history(vocabulary.encode(list(history_item_ids)), history_timestamps)
        allowed = self._allowed
        if surface in self._surfaces:
            allowed = allowed & self._surfaces[surface]
        left_out = [*exclude, *blocked]
        if left_out:
            allowed = allowed.copy()
            allowed[vocabulary.encode(left_out)] = False
        top = self._rank(history, k=k, remove_seen=remove_seen, allowed=allowed)
        return _slate(top, vocabulary)

    def top_k(self, histories: Histories, *, k: int, remove_seen: bool) -> TopK:
        """Make a list for each history.

        Args:
            histories: B histories of item indices.
            k: Length of the lists, at least 1.
            remove_seen: Leave out the items of each history.

        Raises:
            ValueError: `k` is below 1.
        """
        return self._rank(histories, k=k, remove_seen=remove_seen, allowed=self._allowed)

    def _rank(self, histories: Histories, *, k: int, remove_seen: bool, allowed: NDArray[np.bool_]) -> TopK:
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item.")
        chunk = rows_at_once(len(allowed))
        parts = []
        for start in range(0, max(len(histories), 1), chunk):
            part = histories.take(np.arange(start, min(start + chunk, len(histories))))
            scores = scores_of(self.bundle.scorer, part, item_counts=self.bundle.item_counts)
            parts.append(rank(scores, k=k, seen=part if remove_seen else None, allowed=allowed))
        if len(parts) == 1:
            return parts[0]
        return TopK(
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.non_finite for part in parts]),
        )


def _one_history(items: NDArray[np.int32], timestamps: Sequence[int] | None) -> Histories:
    moments = np.arange(len(items), dtype=np.int64) if timestamps is None else np.asarray(timestamps, dtype=np.int64)
    if len(moments) != len(items):
        raise ValueError(f"the history has {len(items)} items and {len(moments)} timestamps; give one an item.")
    order = np.argsort(moments, kind="stable")
    return Histories(items[order], moments[order], np.zeros(1, np.int64), np.array([len(items)], np.int64))


def _slate(top: TopK, vocabulary: Vocabulary) -> Slate:
    length = int((top.items[0] != PADDING).sum())
    item_ids = tuple(vocabulary.decode(top.items[0, :length]).tolist())
    return Slate(item_ids, tuple(top.scores[0, :length].tolist()), (1.0,) * length, bool(top.non_finite[0]))


def _not_blocked(bundle: Bundle) -> NDArray[np.bool_]:
    is_shown = pc.not_equal(bundle.items[SAFETY], "blocked").to_numpy()
    return np.concatenate([np.zeros(FIRST_ITEM, np.bool_), is_shown])


def _surface_masks(items: pa.Table, vocabulary: Vocabulary) -> dict[str | None, NDArray[np.bool_]]:
    surfaces = items[SURFACE]
    masks: dict[str | None, NDArray[np.bool_]] = {}
    for surface in pc.unique(surfaces.drop_null()).to_pylist():
        fits = pc.or_kleene(pc.is_null(surfaces), pc.equal(surfaces, surface)).to_numpy()
        masks[surface] = np.ones(vocabulary.size, np.bool_)
        masks[surface][FIRST_ITEM:] = fits
    return masks
