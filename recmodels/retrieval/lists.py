"""Lists for a batch of wishes: by the quickest search that the bundle has, and in doubt from every item's score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import FIRST_ITEM, PADDING
from recmodels.retrieval.newcomers import NewcomerScores
from recmodels.retrieval.scoring import best, compete, merged, rows_at_once, scores_of
from recmodels.retrieval.search import Found, from_coarse, from_graph
from recmodels.retrieval.wish import Wish
from recmodels.scorers import EncoderScorer
from recmodels.slates import TopK

_Search = Callable[[EncoderScorer, Wish, NDArray[np.float32]], Found | None]
_SEARCHES: tuple[_Search, ...] = (from_graph, from_coarse)  # the quickest first


@dataclass(frozen=True, eq=False)
class Pool:
    """Which known items were compared for one list.

    Attributes:
        columns: Theirs in the catalogue.
        words: How they were found.
    """

    columns: NDArray[np.integer]
    words: str


class Lists:
    """Makes lists of known items and newcomers with one bundle.

    Args:
        bundle: What scores.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def make(self, wish: Wish, newcomers: NewcomerScores | None) -> TopK:
        """Return the lists of a wish, with one encoding of all histories."""
        return self.make_all([wish], newcomers)[0]

    def make_all(self, wishes: Sequence[Wish], newcomers: NewcomerScores | None) -> list[TopK]:
        """Return the lists of several wishes of the same histories, with one encoding and one search a wish."""
        histories = wishes[0].histories
        queries = self._queries(histories)
        tops = [self.search(wish, queries) for wish in wishes]
        if newcomers is None:
            return tops
        start = self._bundle.vocabulary.size
        return [
            compete(top, newcomers.of(histories, queries), wish, start=start)
            for top, wish in zip(tops, wishes, strict=True)
        ]

    def search(self, wish: Wish, queries: NDArray[np.float32] | None) -> TopK:
        """Return the lists of known items, a part of the rows at a time.

        Args:
            wish: B lists.
            queries: (B, D) encoded histories; None where the scorer is no encoder.
        """
        step = rows_at_once(self._bundle.vocabulary.size)
        if len(wish) <= step:
            return self._lists(wish, queries)
        chunks = [np.arange(start, min(start + step, len(wish))) for start in range(0, len(wish), step)]
        return merged([(rows, self._lists(wish.part(rows), _rows(queries, rows))) for rows in chunks])

    def scores(self, wish: Wish, newcomers: NewcomerScores | None) -> NDArray[np.float32]:
        """Return the score of every column of the catalogue, (B, W), before any filter."""
        queries = self._queries(wish.histories)
        scores = self._scores(wish.histories, queries)
        return scores if newcomers is None else np.hstack([scores, newcomers.of(wish.histories, queries)])

    def pool(self, wish: Wish) -> Pool:
        """Return which known items were compared for the one list of a wish."""
        scorer, queries = self._bundle.scorer, self._queries(wish.histories)
        for search in _SEARCHES:
            found = search(scorer, wish, queries) if isinstance(scorer, EncoderScorer) and queries is not None else None
            if found is not None and not found.is_doubtful[0]:
                return Pool(found.candidates[0][found.candidates[0] != PADDING], found.words)
        finite = np.flatnonzero(np.isfinite(self._scores(wish.histories, queries)[0, FIRST_ITEM:])) + FIRST_ITEM
        return Pool(finite, "Every item was scored in full; those with a finite score stay.")

    def _queries(self, histories: Histories) -> NDArray[np.float32] | None:
        scorer = self._bundle.scorer
        return scorer.queries(histories) if isinstance(scorer, EncoderScorer) else None

    def _lists(
        self, wish: Wish, queries: NDArray[np.float32] | None, searches: tuple[_Search, ...] = _SEARCHES
    ) -> TopK:
        """Take the first search's lists, and make those that it leaves in doubt with the next, or from all items."""
        scorer = self._bundle.scorer
        if not searches or queries is None or not isinstance(scorer, EncoderScorer) or not len(wish):
            return best(self._scores(wish.histories, queries), wish)
        found = searches[0](scorer, wish, queries)
        if found is None:
            return self._lists(wish, queries, searches[1:])
        top = TopK(found.items, found.scores, np.zeros(len(wish), np.bool_))
        if not found.is_doubtful.any():
            return top
        certain, doubtful = np.flatnonzero(~found.is_doubtful), np.flatnonzero(found.is_doubtful)
        others = self._lists(wish.part(doubtful), queries[doubtful], searches[1:])
        return merged([(certain, top.take(certain)), (doubtful, others)])

    def _scores(self, histories: Histories, queries: NDArray[np.float32] | None) -> NDArray[np.float32]:
        scorer = self._bundle.scorer
        if queries is not None and isinstance(scorer, EncoderScorer):
            return scorer.score_queries(queries)
        return scores_of(scorer, histories, item_counts=self._bundle.item_counts)


def _rows(queries: NDArray[np.float32] | None, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
    return None if queries is None else queries[rows]
