"""History -> scores -> filter -> top k: the one path by which lists are made, offline and served."""

from collections.abc import Collection, Sequence

import numpy as np

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import PADDING
from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.lists import Lists
from recmodels.retrieval.newcomers import Newcomers, NewcomerScores
from recmodels.retrieval.scoring import GivesScores, is_silent, rank, rows_at_once, scores_of
from recmodels.retrieval.tracing import reasons, trace
from recmodels.retrieval.wish import Wish, read_asks
from recmodels.slates import Ask, Rejected, Slate, TopK, Trace, TraceStage

__all__ = [
    "Ask",
    "GivesScores",
    "Ranker",
    "Rejected",
    "Slate",
    "TopK",
    "Trace",
    "TraceStage",
    "rank",
    "rows_at_once",
    "scores_of",
]


class Ranker:
    """Makes lists with one bundle.

    Where the bundle has an index of its items, candidates come from it, and a list that filters leave short is made
    once more from all items; else every item is scored.

    Args:
        bundle: What is deployed. Items whose `safety` is ``blocked`` are never shown, and an item-to-item
            model answers a history without any item that it knows with popular items.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._lists = Lists(bundle)
        self._catalogue = Catalogue.of(bundle)
        self._joined: tuple[Catalogue, NewcomerScores] | None = None

    def recommend(
        self,
        history_item_ids: Sequence[str],
        history_timestamps: Sequence[int] | None = None,
        *,
        k: int,
        exclude: Collection[str] = (),
        surface: str | None = None,
        blocked: Collection[str] = (),
        newcomers: Newcomers | None = None,
        remove_seen: bool = True,
    ) -> Slate:
        """Make one list; the arguments are those of `Ask` and of `recommend_many`.

        Raises:
            ValueError: `k` is below 1, or there is not one timestamp an item.
        """
        ask = Ask(history_item_ids, history_timestamps, k, surface, exclude)
        return self.recommend_many([ask], blocked=blocked, newcomers=newcomers, remove_seen=remove_seen)[0]

    def recommend_many(
        self,
        asks: Sequence[Ask],
        *,
        blocked: Collection[str] = (),
        newcomers: Newcomers | None = None,
        remove_seen: bool = True,
    ) -> list[Slate]:
        """Make one list an ask, all with one encoding and one search.

        Args:
            asks: What is wanted; none gives no list.
            blocked: Ids to leave out for everybody, such as takedowns since the bundle was built. A frozenset that
                is given again and again is looked up once.
            newcomers: Items that the bundle does not know, from `recmodels.retrieval.newcomers.attach` with this
                bundle; they compete with the others by score, and lose ties.
            remove_seen: Leave out the items of the history.

        Raises:
            ValueError: A `k` is below 1, or there is not one timestamp an item.
        """
        if not asks:
            return []
        catalogue, scores = self._with(newcomers)
        wish = read_asks(asks, catalogue, blocked=blocked, remove_seen=remove_seen)
        top = self._lists.make(wish, scores)
        is_popular = is_silent(self.bundle.scorer, wish.histories).tolist()
        return [_slate(top, row, ask.k, catalogue, is_popular=is_popular[row]) for row, ask in enumerate(asks)]

    def explain(
        self,
        ask: Ask,
        *,
        blocked: Collection[str] = (),
        newcomers: Newcomers | None = None,
        remove_seen: bool = True,
    ) -> Trace:
        """Return the list of one ask with how it came about; the arguments are those of `recommend_many`.

        Every item is scored for it, so it takes longer than the list alone.

        Raises:
            ValueError: As `recommend_many`.
        """
        slate = self.recommend_many([ask], blocked=blocked, newcomers=newcomers, remove_seen=remove_seen)[0]
        catalogue, newcomer_scores = self._with(newcomers)
        wish = read_asks([ask], catalogue, blocked=blocked, remove_seen=remove_seen)
        scores = self._lists.scores(wish, newcomer_scores)[0]
        why = reasons(ask, catalogue, blocked=blocked, remove_seen=remove_seen)
        return trace(slate, scores, k=ask.k, why=why, pool=self._lists.pool(wish), catalogue=catalogue)

    def top_k(self, histories: Histories, *, k: int, remove_seen: bool) -> TopK:
        """Make a list for each history.

        Args:
            histories: B histories of item indices.
            k: Length of the lists, at least 1.
            remove_seen: Leave out the items of each history.

        Raises:
            ValueError: `k` is below 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item.")
        rows, columns = histories.flat() if remove_seen else (np.zeros(0, np.int64), np.zeros(0, np.int32))
        shelf = self._catalogue.shelf(None, frozenset())
        return self._lists.make(Wish(histories, k, (shelf,), np.zeros(len(histories), np.intp), rows, columns), None)

    def _with(self, newcomers: Newcomers | None) -> tuple[Catalogue, NewcomerScores | None]:
        if newcomers is None or not len(newcomers):
            return self._catalogue, None
        joined = self._joined
        if joined is None or joined[1].newcomers is not newcomers:
            joined = self._catalogue.joined_by(newcomers), NewcomerScores(self.bundle, newcomers)
            self._joined = joined
        return joined


def _slate(top: TopK, row: int, k: int, catalogue: Catalogue, *, is_popular: bool) -> Slate:
    items = top.items[row, :k]
    length = int((items != PADDING).sum())
    return Slate(
        item_ids=tuple(catalogue.decode(items[:length])),
        scores=tuple(top.scores[row, :length].tolist()),
        propensities=(1.0,) * length,
        non_finite=bool(top.non_finite[row]),
        has_newcomers=bool((items >= catalogue.vocabulary.size).any()),
        is_popular=is_popular,
    )
