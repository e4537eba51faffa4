"""History -> scores -> filter -> top k: the one path by which lists are made, offline and served."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from recmodels.bundle import Bundle
from recmodels.data.histories import Histories
from recmodels.data.vocabulary import PADDING
from recmodels.ranking.judge import Moment
from recmodels.reranking.chain import Reranked
from recmodels.reranking.reranker import Reranker
from recmodels.retrieval.catalogue import Catalogue
from recmodels.retrieval.lists import Lists
from recmodels.retrieval.newcomers import Newcomers, NewcomerScores
from recmodels.retrieval.scoring import GivesScores, is_silent, rank, rows_at_once, scores_of
from recmodels.retrieval.tracing import predictions, ranking_stage, reasons, stages_of, trace
from recmodels.retrieval.wish import Wish, read_asks
from recmodels.safety import SafetyPolicy
from recmodels.slates import Ask, Prediction, Rejected, Slate, TopK, Trace, TraceStage

__all__ = [
    "Ask",
    "GivesScores",
    "Moment",
    "Prediction",
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
            model answers a history without any item that it knows with popular items. Its manifest says how candidates
            are re-ranked; without a stage there, the best by score are the list.
        safety: Terms under which labelled items are shown; None for those of a platform that sets none.
    """

    def __init__(self, bundle: Bundle, safety: SafetyPolicy | None = None) -> None:
        self.bundle = bundle
        self.safety = safety or SafetyPolicy()
        self._lists = Lists(bundle)
        self._own = _Shop(Catalogue.of(bundle, self.safety), None, self._reranker(None))
        self._joined: _Shop | None = None

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
        shop = self._with(newcomers)
        catalogue, reranker = shop.catalogue, shop.reranker
        wish = read_asks(asks, catalogue, blocked=blocked, remove_seen=remove_seen)
        is_popular = is_silent(self.bundle.scorer, wish.histories).tolist()
        if reranker is None:
            top = self._lists.make(wish, shop.scores)
            return [_slate(top, row, ask.k, catalogue, is_popular=is_popular[row]) for row, ask in enumerate(asks)]
        tops = self._lists.make_all(reranker.wishes(wish), shop.scores)
        pools = [
            reranker.pool(tops, row, wish, catalogue, seed=ask.seed, restricted=self._shows_restricted(ask))
            for row, ask in enumerate(asks)
        ]
        pools, is_broken = reranker.ranked(pools, wish, [_moment(ask) for ask in asks])
        slates = []
        for row, (ask, pool) in enumerate(zip(asks, pools, strict=True)):
            shown = reranker.rerank(pool, k=ask.k)
            non_finite = is_broken[row] or any(bool(top.non_finite[row]) for top in tops)
            slates.append(_reranked_slate(shown, catalogue, non_finite=non_finite, is_popular=is_popular[row]))
        return slates

    @property
    def exposure_memory(self) -> float:
        """Lists over which what creators were shown is remembered; 0 where no stage asks for it."""
        return 0.0 if self._own.reranker is None else self._own.reranker.memory

    def recall(self, lists: Sequence[Sequence[str]]) -> None:
        """Forget what was counted as shown, and remember these lists instead, the newest first.

        For who loads a model: what other processes showed, and this one before it ended, is not forgotten, and what was
        ranked to warm up was shown to nobody. Not while another thread makes lists.
        """
        for shop in (self._own, self._joined):
            if shop is not None and shop.reranker is not None:
                shop.reranker.recall(lists)

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
        shop = self._with(newcomers)
        catalogue = shop.catalogue
        wish = read_asks([ask], catalogue, blocked=blocked, remove_seen=remove_seen)
        scores = self._lists.scores(wish, shop.scores)[0]
        why = reasons(ask, catalogue, blocked=blocked, remove_seen=remove_seen)
        stages = self._stages(shop, wish, ask)
        told = trace(slate, scores, k=ask.k, why=why, pool=self._lists.pool(wish), catalogue=catalogue, stages=stages)
        judge = None if shop.reranker is None else shop.reranker.judge
        if judge is None:
            return told
        shown = catalogue.encode(slate.item_ids)
        (judged,) = judge.judge([shown], wish.histories, [_moment(ask)])
        return replace(told, predictions=predictions(judged))

    def top_k(
        self, histories: Histories, *, k: int, remove_seen: bool, moments: Sequence[Moment] | None = None
    ) -> TopK:
        """Make a list for each history.

        Args:
            histories: B histories of item indices.
            k: Length of the lists, at least 1.
            remove_seen: Leave out the items of each history.
            moments: What a second stage reads of each request; None for moments just after each history.

        Raises:
            ValueError: `k` is below 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 item.")
        rows, columns = histories.flat() if remove_seen else (np.zeros(0, np.int64), np.zeros(0, np.int32))
        shelf = self._own.catalogue.shelf(None, frozenset())
        wish = Wish(histories, k, (shelf,), np.zeros(len(histories), np.intp), rows, columns)
        if self._own.reranker is None:
            return self._lists.make(wish, None)
        return self._reranked(self._own.reranker, wish, moments or [Moment()] * len(wish))

    def _reranked(self, reranker: Reranker, wish: Wish, moments: Sequence[Moment]) -> TopK:
        """Return the lists that re-ranking makes; what is drawn for one hangs on its history alone."""
        tops = self._lists.make_all(reranker.wishes(wish), None)
        lists = TopK(
            np.full((len(wish), wish.k), PADDING, np.int32),
            np.full((len(wish), wish.k), -np.inf, np.float32),
            np.any([top.non_finite for top in tops], axis=0),
        )
        restricted, histories = self.safety.shows_restricted(None, None), wish.histories
        pools = []
        for row in range(len(wish)):
            seed = crc32(histories.items[histories.starts[row] : histories.ends[row]].tobytes())
            pools.append(reranker.pool(tops, row, wish, self._own.catalogue, seed=seed, restricted=restricted))
        pools, is_broken = reranker.ranked(pools, wish, moments)
        for row, pool in enumerate(pools):  # a list is made of at most some hundred candidates, each by its own chain
            shown = reranker.rerank(pool, k=wish.k)
            lists.items[row, : len(shown.columns)] = shown.columns
            lists.scores[row, : len(shown.columns)] = shown.scores
        lists.non_finite[:] |= np.array(is_broken, dtype=np.bool_)
        return lists

    def _stages(self, shop: "_Shop", wish: Wish, ask: Ask) -> "list[TraceStage] | None":
        """Return what each stage does to the pool of one ask; None where nothing is re-ranked."""
        if shop.reranker is None:
            return None
        tops = self._lists.make_all(shop.reranker.wishes(wish), shop.scores)
        restricted = self._shows_restricted(ask)
        found = shop.reranker.pool(tops, 0, wish, shop.catalogue, seed=ask.seed, restricted=restricted)
        (pool,), _ = shop.reranker.ranked([found], wish, [_moment(ask)])
        told = stages_of(shop.reranker.effects(pool, k=ask.k), k=ask.k)
        judge = shop.reranker.judge
        if judge is None:
            return told
        return [ranking_stage(found, pool, k=ask.k, retrieval=judge.retrieval), *told]

    def _shows_restricted(self, ask: Ask) -> bool:
        return self.safety.shows_restricted(ask.surface, ask.age)

    def _reranker(self, newcomers: Newcomers | None) -> Reranker | None:
        manifest = self.bundle.manifest
        is_active = manifest.reranking.is_active or manifest.ranking is not None
        return Reranker(self.bundle, self.safety, newcomers) if is_active else None

    def _with(self, newcomers: Newcomers | None) -> "_Shop":
        if newcomers is None or not len(newcomers):
            return self._own
        joined = self._joined
        if joined is None or joined.scores is None or joined.scores.newcomers is not newcomers:
            catalogue = self._own.catalogue.joined_by(newcomers)
            joined = _Shop(catalogue, NewcomerScores(self.bundle, newcomers), self._reranker(newcomers))
            before = (self._joined or self._own).reranker
            if joined.reranker is not None and before is not None:
                joined.reranker.inherit(before)
            self._joined = joined
        return joined


@dataclass(frozen=True, eq=False)
class _Shop:
    catalogue: Catalogue
    scores: NewcomerScores | None  # of newcomers, where there are any
    reranker: Reranker | None


def _moment(ask: Ask) -> Moment:
    has_times = ask.timestamps is not None
    return Moment(ask.moment, has_times, ask.surface, ask.query, ask.attributes)


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


def _reranked_slate(shown: Reranked, catalogue: Catalogue, *, non_finite: bool, is_popular: bool) -> Slate:
    return Slate(
        item_ids=tuple(catalogue.decode(shown.columns)),
        scores=tuple(shown.scores.tolist()),
        propensities=tuple(shown.propensities.tolist()),
        non_finite=non_finite,
        has_newcomers=bool((shown.columns >= catalogue.vocabulary.size).any()),
        is_popular=is_popular,
    )
