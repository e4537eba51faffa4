"""Metrics of ranked lists. Accuracy is one function a metric; variety is measured on what was shown, relevant or not.

Lists are ``(Q, K)`` item indices, best first; 0 is an empty slot and stands for nothing. Every function is vectorised
over the queries. To add an accuracy metric, write one function under `accuracy`: its name becomes the metric's name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, PADDING, UNKNOWN

_PAIRS_AT_ONCE = 2_000_000
_NUMBERS_AT_ONCE = 4_000_000
_WORD_BITS = 64


@dataclass(frozen=True, eq=False)
class JudgedLists:
    """Lists with the verdict on every slot.

    Attributes:
        hits: ``(Q, K)`` whether the item of a slot is a target of its query.
        num_targets: ``(Q,)`` targets of each query, those outside the catalogue included; at least 1.
    """

    hits: NDArray[np.bool_]
    num_targets: NDArray[np.int64]


Accuracy = Callable[[JudgedLists, int], NDArray[np.float64]]
ACCURACY: dict[str, Accuracy] = {}
"""Every accuracy metric by name; each takes judged lists and k and returns ``(Q,)`` values."""


def accuracy(metric: Accuracy) -> Accuracy:
    """Register an accuracy metric under its function's name."""
    ACCURACY[metric.__name__] = metric
    return metric


@accuracy
def recall(judged: JudgedLists, k: int) -> NDArray[np.float64]:
    """Return the share of the targets that stand in the first k slots; a target outside the catalogue is a miss."""
    return np.asarray(judged.hits[:, :k].sum(axis=1) / judged.num_targets)


@accuracy
def ndcg(judged: JudgedLists, k: int) -> NDArray[np.float64]:
    """Return the discounted gain of the first k slots over the best that k slots and these targets allow.

    The gain of slot r (from 1) is 1 / log2(r + 1) where it holds a target, and the ideal is the sum over the first
    min(k, number of targets) slots.

    Source: Järvelin and Kekäläinen 2002, with binary gains. Some libraries divide by the ideal of k relevant items
    instead, which no list can reach when there are fewer.
    """
    discounts = _discounts(k)
    ideal = np.cumsum(discounts)[np.minimum(k, judged.num_targets) - 1]
    return np.asarray(judged.hits[:, :k] @ discounts / ideal)


@accuracy
def mrr(judged: JudgedLists, k: int) -> NDArray[np.float64]:
    """Return 1 / (slot of the first target) within the first k slots, counted from 1; 0 without one."""
    hits = judged.hits[:, :k]
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


@accuracy
def hit(judged: JudgedLists, k: int) -> NDArray[np.float64]:
    """Return 1 where at least one target stands in the first k slots, else 0."""
    return np.asarray(judged.hits[:, :k].any(axis=1), dtype=np.float64)


def judge_lists(lists: NDArray[np.int32], targets: Histories) -> JudgedLists:
    """Mark the slots that hold a target.

    A target item that is named twice in one query counts once; targets outside the catalogue cannot be told apart,
    so each counts.

    Args:
        lists: ``(Q, K)`` item indices, best first; 0 is an empty slot.
        targets: Q rows of target items; `UNKNOWN` marks those outside the catalogue.

    Raises:
        ValueError: Lists and targets have different numbers of rows, a list holds an item twice, or a query has no
            target.
    """
    if lists.ndim != 2 or len(lists) != len(targets):
        raise ValueError(f"lists of shape {lists.shape} do not fit {len(targets)} queries; expected one list a query.")
    _refuse_duplicates(lists)
    keys, num_targets = _target_keys(targets)
    if len(num_targets) and num_targets.min() < 1:
        raise ValueError(f"query {int(num_targets.argmin())} has no target; leave such queries out of the evaluation.")
    slots = _keys(np.arange(len(lists), dtype=np.int64)[:, None], lists)
    places = np.minimum(np.searchsorted(keys, slots), max(len(keys) - 1, 0))
    found = keys[places] == slots if len(keys) else np.zeros(lists.shape, dtype=np.bool_)
    return JudgedLists(hits=found, num_targets=num_targets)


def accuracy_metrics(
    lists: NDArray[np.int32], targets: Histories, *, top_ks: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Return every accuracy metric at every k, named such as ``"ndcg_at_10"``, each ``(Q,)``.

    Raises:
        ValueError: As `judge_lists`, or a k that is not between 1 and the length of the lists.
    """
    judged = judge_lists(lists, targets)
    for k in top_ks:
        if not 1 <= k <= lists.shape[1]:
            raise ValueError(f"k = {k} is not between 1 and the {lists.shape[1]} slots of the lists; rank more items.")
    return {f"{name}_at_{k}": metric(judged, k) for k in top_ks for name, metric in ACCURACY.items()}


def chance_metrics(
    num_candidates: NDArray[np.int64], reachable: NDArray[np.int64], num_targets: NDArray[np.int64], *, k: int
) -> dict[str, NDArray[np.float64]]:
    """Return what a uniformly random order of the candidates reaches on average in recall and ndcg, each ``(Q,)``.

    Args:
        num_candidates: ``(Q,)`` items that may be shown.
        reachable: ``(Q,)`` targets among them.
        num_targets: ``(Q,)`` all targets, at least 1.
        k: Slots.
    """
    slots = np.minimum(k, num_candidates)
    share = reachable / np.maximum(num_candidates, 1)
    gains = np.concatenate([[0.0], np.cumsum(_discounts(k))])
    return {
        f"recall_at_{k}": slots * share / num_targets,
        f"ndcg_at_{k}": gains[slots] * share / gains[np.minimum(k, num_targets)],
    }


def count_recommended(lists: NDArray[np.int32], *, k: int, size: int) -> NDArray[np.int64]:
    """Return how often each index stands in the first k slots, ``(size,)``; empty slots are not counted."""
    counts = np.bincount(lists[:, :k].ravel(), minlength=size)
    counts[PADDING] = 0
    return counts


def coverage(counts: NDArray[np.int64]) -> float:
    """Return the share of the catalogue that was shown at least once, from the ``(V,)`` counts; 0 if it is empty."""
    shown = counts[FIRST_ITEM:] > 0
    return float(shown.mean()) if len(shown) else 0.0


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of how often the catalogue's items were shown, from the ``(V,)`` counts.

    0 when all are shown equally often (or nothing at all is), (N - 1) / N when one item takes every slot.
    """
    ordered = np.sort(counts[FIRST_ITEM:]).astype(np.float64)
    total, n = ordered.sum(), len(ordered)
    if total == 0:
        return 0.0
    return float(2 * (np.arange(1, n + 1) @ ordered) / (n * total) - (n + 1) / n)


def novelty(lists: NDArray[np.int32], item_counts: NDArray[np.int64], *, k: int) -> NDArray[np.float64]:
    """Return the mean self-information, in bits, of the items in the first k slots, ``(Q,)``; NaN for an empty list.

    An item with c of the n training interactions over N items carries -log2((c + 1) / (n + N)); the added one gives
    an item that was never seen a finite value.

    Source: Zhou et al. 2010, self-information; with add-one smoothing, which the paper does without.
    """
    counts = item_counts[FIRST_ITEM:].astype(np.float64) + 1
    bits = np.concatenate([np.zeros(FIRST_ITEM), -np.log2(counts / counts.sum())])
    shown = lists[:, :k]
    return _mean_of_counted(bits[shown].sum(axis=1), (shown >= FIRST_ITEM).sum(axis=1))


def diversity(lists: NDArray[np.int32], categories: NDArray[np.uint64], *, k: int) -> NDArray[np.float64]:
    """Return the share of the pairs in the first k slots that have no category in common, ``(Q,)``.

    A pair with an item without any category is not judged; NaN where no pair can be judged.

    Args:
        lists: ``(Q, K)`` item indices.
        categories: ``(V, W)`` categories of each item as bits, see `category_bits`.
        k: Slots.
    """
    step = max(1, _PAIRS_AT_ONCE // (k * k))
    parts = [_chunk_diversity(lists[start : start + step, :k], categories) for start in range(0, len(lists), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def distance(lists: NDArray[np.int32], vectors: NDArray[np.float32], *, k: int) -> NDArray[np.float64]:
    """Return the mean of 1 - cosine over the pairs in the first k slots, ``(Q,)``; NaN where there is no pair.

    Args:
        lists: ``(Q, K)`` item indices.
        vectors: ``(V, D)`` of the items; one of length 0 is not judged.
        k: Slots.

    Source: Ziegler et al. 2005, intra-list similarity. The sum over the pairs is told from the length of the sum of
    the unit vectors: ``|sum u|^2 = n + 2 sum of the pairs' cosines``.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    step = max(1, _NUMBERS_AT_ONCE // (k * vectors.shape[1]))
    parts = []
    for start in range(0, len(lists), step):
        shown = lists[start : start + step, :k]
        weights = np.where((shown >= FIRST_ITEM) & (lengths[shown] > 0), 1 / np.maximum(lengths[shown], 1e-30), 0.0)
        sums = np.einsum("qk,qkd->qd", weights, vectors[shown].astype(np.float64))
        counts = (weights > 0).sum(axis=1)
        pairs = counts * (counts - 1) / 2
        cosines = (np.einsum("qd,qd->q", sums, sums) - counts) / 2
        parts.append(np.where(pairs > 0, 1 - cosines / np.maximum(pairs, 1), np.nan))
    return np.concatenate(parts) if parts else np.zeros(0)


def category_bits(categories: Sequence[str | None], *, separator: str = "|") -> NDArray[np.uint64]:
    """Return the categories of the catalogue as bit sets, ``(V, W)``: rows 0 and 1 and items without one hold none.

    Args:
        categories: ``(N,)`` names joined by `separator` for each item in index order, or None.
        separator: What joins several names.
    """
    names = [[name for name in (text or "").split(separator) if name] for text in categories]
    number = {name: place for place, name in enumerate(sorted({name for row in names for name in row}))}
    bits = np.zeros((len(names) + FIRST_ITEM, max(1, -(-len(number) // _WORD_BITS))), dtype=np.uint64)
    rows = np.repeat(np.arange(FIRST_ITEM, len(bits)), [len(row) for row in names])
    places = np.fromiter((number[name] for row in names for name in row), dtype=np.int64, count=len(rows))
    np.bitwise_or.at(bits, (rows, places // _WORD_BITS), np.uint64(1) << (places % _WORD_BITS).astype(np.uint64))
    return bits


def _chunk_diversity(lists: NDArray[np.int32], categories: NDArray[np.uint64]) -> NDArray[np.float64]:
    held = categories[lists]  # (q, k, W)
    shares = np.zeros((len(lists), lists.shape[1], lists.shape[1]), dtype=np.bool_)
    for word in range(categories.shape[1]):
        shares |= (held[:, :, None, word] & held[:, None, :, word]) != 0
    known = np.asarray(held.any(axis=2))
    first, second = np.triu_indices(lists.shape[1], k=1)
    judged = known[:, first] & known[:, second]
    return _mean_of_counted((judged & ~shares[:, first, second]).sum(axis=1), judged.sum(axis=1))


def _mean_of_counted(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _discounts(k: int) -> NDArray[np.float64]:
    return 1.0 / np.log2(np.arange(2, k + 2))


def _refuse_duplicates(lists: NDArray[np.int32]) -> None:
    ordered = np.sort(lists, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)
    if twice.any():
        row, slot = (int(place[0]) for place in np.nonzero(twice))
        raise ValueError(f"list {row} holds item index {int(ordered[row, slot])} twice; a list must name an item once.")


def _target_keys(targets: Histories) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, items = targets.flat()
    inside = items >= FIRST_ITEM
    keys = np.unique(_keys(rows[inside], items[inside]))
    num_targets = np.bincount(keys >> 32, minlength=len(targets))
    return keys, num_targets + np.bincount(rows[items == UNKNOWN], minlength=len(targets))


def _keys(rows: NDArray[np.int64], items: NDArray[np.int32]) -> NDArray[np.int64]:
    return (rows << 32) + items
