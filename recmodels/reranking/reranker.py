"""From the lists that retrieval makes to the lists that are shown: the pools of a batch, and the chain over each."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain as _in_turn

import numpy as np
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.vocabulary import PADDING
from recmodels.ranking.judge import Judge, Moment
from recmodels.reranking.chain import Chain, Effect, Reranked
from recmodels.reranking.exposures import Exposures
from recmodels.reranking.facts import MISSING, Facts
from recmodels.reranking.pool import Pool
from recmodels.retrieval.catalogue import Catalogue, Shelf
from recmodels.retrieval.newcomers import Newcomers
from recmodels.retrieval.wish import Wish
from recmodels.safety import SafetyPolicy
from recmodels.slates import TopK

_MOST_SHELVES = 16


class Reranker:
    """Re-ranks the lists of one bundle.

    Args:
        bundle: Its manifest says how.
        policy: Terms of the safety filter.
        newcomers: Items that the bundle does not know.
    """

    def __init__(self, bundle: Bundle, policy: SafetyPolicy, newcomers: Newcomers | None = None) -> None:
        self.chain = Chain(bundle.manifest.reranking, policy)
        self.judge = Judge(bundle, newcomers) if bundle.ranking is not None else None
        """The second stage; None without one."""
        self._facts = Facts.of(bundle, newcomers)
        self._vocabulary = bundle.vocabulary
        self._exposures: Exposures | None = None
        if (fair := self.chain.exposure) is not None:
            self._exposures = Exposures(self._facts, merit_power=fair.merit_power, memory=fair.memory)
        self._cold: dict[Shelf, Shelf] = {}

    def wishes(self, wish: Wish) -> list[Wish]:
        """Return what retrieval is asked for: a pool of candidates and, to explore, a reserve of cold items."""
        pool = self.chain.pool if self.judge is None else self.judge.pool
        pools = replace(wish, k=max(wish.k, pool))
        explored = self.chain.exploration
        if explored is None or explored.rate == 0:
            return [pools]
        shelves = tuple(self._cold_shelf(shelf, below=explored.cold_below) for shelf in wish.shelves)
        return [pools, replace(wish, k=explored.candidates, shelves=shelves)]

    def pool(
        self, tops: list[TopK], row: int, wish: Wish, catalogue: Catalogue, *, seed: int, restricted: bool
    ) -> Pool:
        """Return the candidates of one list.

        Args:
            tops: What retrieval found for `wishes`.
            row: Of the list.
            wish: What the lists must hold.
            catalogue: What may be shown.
            seed: Of what is drawn for this list.
            restricted: Who asks may see restricted items.
        """
        columns, scores = _found(tops[0], row)
        count = len(columns)
        if len(tops) > 1:
            columns, scores = _joined(columns, scores, *_found(tops[1], row))
        shelf = wish.shelves[wish.shelf_of[row]]
        histories = wish.histories
        return Pool(
            columns=columns,
            scores=scores,
            num_retrieved=count,
            facts=self._facts,
            labels=catalogue.labels[columns],
            is_on_shelf=shelf.penalties[columns] == 0,
            shows_restricted=restricted,
            history=histories.items[histories.starts[row] : histories.ends[row]],
            seed=seed,
            deficits=None if self._exposures is None else self._exposures.deficits(columns),
        )

    def ranked(self, pools: Sequence[Pool], wish: Wish, moments: Sequence[Moment]) -> tuple[list[Pool], list[bool]]:
        """Return the pools by the utility of the second stage, if there is one, and where a prediction was not finite.

        Args:
            pools: One a list.
            wish: What the lists must hold.
            moments: One a list.
        """
        if self.judge is None:
            return [*pools], [False] * len(pools)
        judged = self.judge.judge([pool.columns for pool in pools], wish.histories, moments)
        most, retrieval = max(wish.k, self.chain.pool), self.judge.retrieval
        return (
            [
                pool.rescored(one.utilities, most=most, retrieval=retrieval)
                for pool, one in zip(pools, judged, strict=True)
            ],
            [not one.is_finite.all() for one in judged],
        )

    def rerank(self, pool: Pool, *, k: int) -> Reranked:
        """Return the list of a pool, and count it as shown."""
        reranked = self.chain.rerank(pool, k=k)
        if self._exposures is not None:
            self._exposures.show(reranked.columns)
        return reranked

    @property
    def memory(self) -> float:
        """Lists over which exposure is remembered; 0 where no stage asks for it."""
        return 0.0 if self.chain.exposure is None else self.chain.exposure.memory

    def recall(self, lists: Sequence[Sequence[str]]) -> None:
        """Count these lists as shown, the newest first, and no others; items that the bundle does not know are none."""
        if self._exposures is not None:
            lists_ago = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
            self._exposures.recall(self._vocabulary.encode(list(_in_turn.from_iterable(lists))), lists_ago)

    def inherit(self, other: "Reranker") -> None:
        """Go on from what another one of the same bundle counted; creators of newcomers alone begin anew."""
        if self._exposures is not None and other._exposures is not None:
            own = int(self._facts.creators[: self._vocabulary.size].max(initial=MISSING)) + 1
            self._exposures.inherit(other._exposures, creators=own)

    def effects(self, pool: Pool, *, k: int) -> tuple[Effect, ...]:
        """Return what each stage does to a pool; nothing counts as shown."""
        return self.chain.effects(pool, k=k)

    def _cold_shelf(self, shelf: Shelf, *, below: int) -> Shelf:
        cold = self._cold.get(shelf)
        if cold is None:
            is_cold = self._facts.counts < below
            cold = Shelf(np.where(is_cold, shelf.penalties, np.float32(-np.inf)))
            if len(self._cold) >= _MOST_SHELVES:
                self._cold.clear()
            self._cold[shelf] = cold
        return cold


def _found(top: TopK, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    length = int(np.count_nonzero(top.items[row] != PADDING))
    return top.items[row, :length], top.scores[row, :length]


def _joined(
    columns: NDArray[np.int32], scores: NDArray[np.float32], more: NDArray[np.int32], more_scores: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    held = set(columns.tolist())
    is_new = [column not in held for column in more.tolist()]
    return np.concatenate([columns, more[is_new]]), np.concatenate([scores, more_scores[is_new]])
