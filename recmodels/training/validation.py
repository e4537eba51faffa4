"""How good a model is on the validation queries, while it trains and once it is exported."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.schema import SAFETY
from recmodels.data.splits import Split
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.evaluation.metrics import judge_lists, ndcg, recall
from recmodels.ranker import GivesScores, rank, rows_at_once, scores_of
from recmodels.training.workers import ALONE, Workers

_K = 10
_MOST_QUERIES = 4000
_MOST_AT_ONCE = 128


@dataclass(frozen=True)
class ValidationMetrics:
    """Means over users of the means over their queries."""

    ndcg_at_10: float
    recall_at_10: float


class Validation:
    """The validation queries, at most 4000 of them, chosen by the seed once and for all.

    Args:
        split: Its validation part is asked.
        remove_seen: Items of a history are not recommended again.
        seed: Chooses the queries where there are more.
    """

    def __init__(self, split: Split, *, remove_seen: bool, seed: int) -> None:
        queries = split.validation
        rows = np.arange(len(queries))
        if len(rows) > _MOST_QUERIES:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_QUERIES, replace=False))
        rows = rows[np.argsort(queries.histories.lengths[rows], kind="stable")]  # chunks of like length
        self._histories = queries.histories.take(rows)
        self._targets = queries.targets.take(rows)
        self._users = np.unique(queries.user_ids[rows], return_inverse=True)[1]
        self._item_counts = split.item_counts
        self._remove_seen = remove_seen
        self._chunk = min(_MOST_AT_ONCE, rows_at_once(split.vocabulary.size))
        blocked = pc.equal(split.items[SAFETY], "blocked").to_numpy()
        self._allowed = np.concatenate([np.zeros(FIRST_ITEM, np.bool_), ~blocked])

    def measure(self, model: GivesScores, *, workers: Workers = ALONE) -> ValidationMetrics:
        """Rank every query with the model's scores, as the ranker does, and return the means.

        Args:
            model: What is measured.
            workers: Each ranks a share of the queries, and all return the same.
        """
        starts = np.arange(0, len(self._histories), self._chunk)
        lists = np.zeros((len(self._histories), _K), dtype=np.int32)
        for start in starts[workers.rank :: workers.count].tolist():
            lists[start : start + self._chunk] = self._rank(model, start)
        lists = workers.join(lists)
        judged = judge_lists(lists, self._targets)
        return ValidationMetrics(self._user_mean(ndcg(judged, _K)), self._user_mean(recall(judged, _K)))

    def _rank(self, model: GivesScores, start: int) -> NDArray[np.int32]:
        part = self._histories.take(np.arange(start, min(start + self._chunk, len(self._histories))))
        seen = part if self._remove_seen else None
        scores = scores_of(model, part, item_counts=self._item_counts)
        return rank(scores, k=_K, seen=seen, allowed=self._allowed).items

    def _user_mean(self, values: NDArray[np.float64]) -> float:
        return float((np.bincount(self._users, weights=values) / np.bincount(self._users)).mean())
