"""The candidates of one list, with what stages read of them, and the order that they are brought into."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recmodels.reranking.facts import Facts  # it reads bundles, whose manifest names stages

_STEP = 1e-6
"""By which a later place is worth less where values are equal, so that a stage keeps the order before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """An order of a pool's candidates.

    Attributes:
        order: Positions in the pool, the first to show first; no position twice.
        values: (C,) float64 worth of each position of the pool in this order, from 1 for the first down to 0; the
            stages before have moved the relevances to the places that they chose.
        propensities: Probability of each item at its place, as long as `order`; None while nothing was drawn.
    """

    order: NDArray[np.intp]
    values: NDArray[np.float64]
    propensities: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Pool:
    """C candidates of one list: R that retrieval found, best first, then a reserve of cold items.

    Attributes:
        columns: (C,) int32 of each in the catalogue; no column twice.
        scores: (C,) float32 finite scores of the model.
        num_retrieved: R, at least 1 where the pool is not empty. What follows may only be shown to explore.
        facts: Of the whole catalogue.
        labels: (C,) int8 number of each safety label, see `recmodels.safety`.
        is_on_shelf: (C,) what the surface and the takedowns leave.
        shows_restricted: Who asks may see restricted items where they are asked for.
        history: Columns of the user's items, oldest first; unknown ones have no facts.
        seed: Of what is drawn for this list.
        deficits: (C,) how far each candidate's creator is from its share, 0 to 1; None where nobody counts.
        utilities: (C,) what a list tells of each instead of its score; None where no second stage ranked.
    """

    columns: NDArray[np.int32]
    scores: NDArray[np.float32]
    num_retrieved: int
    facts: "Facts"
    labels: NDArray[np.int8]
    is_on_shelf: NDArray[np.bool_]
    shows_restricted: bool = True
    history: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    seed: int = 0
    deficits: NDArray[np.float64] | None = None
    utilities: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def relevance(self) -> NDArray[np.float64]:
        """(C,) scores with those of the R retrieved spread over 0 to 1; all 1 where they are equal.

        A reserve scores lower as a rule and is then below 0.
        """
        scores = self.scores.astype(np.float64)
        retrieved = scores[: self.num_retrieved]
        lowest = float(retrieved.min()) if len(retrieved) else 0.0
        width = float(retrieved.max()) - lowest if len(retrieved) else 0.0
        return (scores - lowest) / width if width > 0 else np.where(scores >= lowest, 1.0, 0.0)

    @property
    def told(self) -> NDArray[np.float32]:
        """(C,) what a list tells of each."""
        return self.scores if self.utilities is None else self.utilities

    @cached_property
    def similarity(self) -> NDArray[np.float32]:
        """(R, R) between the candidates that were retrieved, 1 on the diagonal: see `Facts.similarity`."""
        return self.facts.similarity(self.columns[: self.num_retrieved])

    def start(self) -> Draft:
        """Return the candidates that were retrieved, in their order."""
        return self.settled(Draft(np.arange(self.num_retrieved), self.relevance))

    def only(self, is_kept: NDArray[np.bool_]) -> "Pool":
        """Return the pool of some of its candidates."""
        return self._take(np.flatnonzero(is_kept), num_retrieved=int(is_kept[: self.num_retrieved].sum()))

    def rescored(self, utilities: NDArray[np.float32], *, most: int, retrieval: float = 0.0) -> "Pool":
        """Return the pool as a second stage orders what was retrieved, ties as before, and the reserve.

        Args:
            utilities: (C,); a candidate whose utility is not finite goes.
            most: Of those retrieved, the best so many stay.
            retrieval: What the first by retrieval's score gains on the last, in units of utility; `utilities` stay what
                a list tells.
        """
        scores = utilities
        if retrieval:
            scores = utilities + (retrieval * self.relevance.clip(0.0, 1.0)).astype(np.float32)
        known = np.flatnonzero(np.isfinite(scores))
        retrieved, reserve = known[known < self.num_retrieved], known[known >= self.num_retrieved]
        best = retrieved[np.argsort(-scores[retrieved], kind="stable")][:most]
        return replace(self, scores=scores, utilities=utilities)._take(
            np.concatenate([best, reserve]), num_retrieved=len(best)
        )

    def _take(self, positions: NDArray[np.intp], *, num_retrieved: int) -> "Pool":
        return replace(
            self,
            columns=self.columns[positions],
            scores=self.scores[positions],
            num_retrieved=num_retrieved,
            labels=self.labels[positions],
            is_on_shelf=self.is_on_shelf[positions],
            deficits=None if self.deficits is None else self.deficits[positions],
            utilities=None if self.utilities is None else self.utilities[positions],
        )

    def settled(self, draft: Draft) -> Draft:
        """Return a draft whose values fall from place to place, each a little at least."""
        values = np.full(len(self), -np.inf)
        values[draft.order] = self._ladder if len(draft.order) == self.num_retrieved else self._rungs(draft.order)
        return Draft(draft.order, values, draft.propensities)

    @cached_property
    def _ladder(self) -> NDArray[np.float64]:
        return self._rungs(np.arange(self.num_retrieved))

    def _rungs(self, order: NDArray[np.intp]) -> NDArray[np.float64]:
        rungs = np.sort(self.relevance[order])[::-1]
        return rungs - _STEP * np.arange(len(rungs))
