"""What factorisations serve: item factors, and for each history the user's factors that fit it best.

The factors of a user, trained or not, are the solution of a small linear system over the items of the history, so that
nothing about a user is kept and nobody is unknown.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from recmodels.arrays import check_finite, read_arrays
from recmodels.data.batches import pad
from recmodels.data.histories import Histories
from recmodels.data.known import distinct_items, known_items
from recmodels.data.vocabulary import FIRST_ITEM, PADDING

_ARRAYS = "arrays.safetensors"
_NUMBERS_AT_ONCE = 2**21
"""Of the gathered item factors of some histories: 16 MB, and their systems beside them."""


@dataclass(frozen=True, eq=False)
class FactorScorer:
    """The inner product of every item's factors with those that explain a history.

    The factors of a history S solve (Y'Y + lambda I + (a - 1) sum over S of y y') x = a sum over S of y: items of S are
    wanted with confidence a, all others are not with confidence 1. Source: Hu, Koren and Volinsky 2008, equation 4.

    Attributes:
        item_factors: (V, D) float32, Y; rows 0 and 1 are zeros.
        regularisation: lambda, above 0.
        confidence: a, at least 1.
        history_length: Only the last so many events of a history count; 0 for all.
    """

    item_factors: NDArray[np.float32]
    regularisation: float
    confidence: float
    history_length: int = 0
    kind: str = field(default="factors", init=False)

    @property
    def vocabulary_size(self) -> int:
        """V, the two special entries included."""
        return len(self.item_factors)

    @cached_property
    def gram(self) -> NDArray[np.float64]:
        """Y'Y + lambda I, (D, D): what all systems share."""
        factors = self.item_factors[FIRST_ITEM:].astype(np.float64)
        return factors.T @ factors + self.regularisation * np.eye(factors.shape[1])

    def queries(self, histories: Histories) -> NDArray[np.float32]:
        """Return the factors of each history, (B, D); zeros for one without a known item. Repeats count once."""
        distinct = _distinct(histories, self.vocabulary_size, length=self.history_length)
        queries = np.zeros((len(distinct), self.item_factors.shape[1]), dtype=np.float32)
        order = np.argsort(distinct.lengths, kind="stable")
        order = order[distinct.lengths[order] > 0]
        longest = int(distinct.lengths.max(initial=1))
        step = max(1, _NUMBERS_AT_ONCE // (max(longest, self.item_factors.shape[1]) * self.item_factors.shape[1]))
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            queries[rows] = self._solve(distinct.take(rows))
        return queries

    def _solve(self, histories: Histories) -> NDArray[np.float32]:
        items = pad(histories, length=int(histories.lengths.max()))  # (b, L)
        factors = self.item_factors[items].astype(np.float64)  # (b, L, D)
        factors[items == PADDING] = 0
        systems = self.gram + (self.confidence - 1) * (factors.transpose(0, 2, 1) @ factors)  # (b, D, D)
        wanted = self.confidence * factors.sum(axis=1)[:, :, None]  # (b, D, 1)
        return np.linalg.solve(systems, wanted)[:, :, 0].astype(np.float32)

    def score(self, histories: Histories) -> NDArray[np.float32]:
        """Return (B, V); a history without a known item scores 0 everywhere."""
        return self.score_queries(self.queries(histories))

    def score_queries(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (B, V) of the factors of histories."""
        scores: NDArray[np.float32] = queries @ self.item_factors.T
        scores[:, :FIRST_ITEM] = -np.inf
        return scores

    def save(self, folder: Path) -> None:
        """Write the factors and the three numbers as safetensors."""
        numbers = np.array([self.regularisation, self.confidence, self.history_length], dtype=np.float64)
        save_file({"item_factors": self.item_factors, "numbers": numbers}, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path) -> "FactorScorer":
        """Read what `save` wrote."""
        arrays = read_arrays(folder / _ARRAYS, {"item_factors": (np.float32, 2), "numbers": (np.float64, 1)})
        check_finite(arrays["item_factors"], file=_ARRAYS, name="item_factors")
        numbers = arrays["numbers"].tolist()
        if len(numbers) != 3 or not (
            0 < numbers[0] < np.inf and 1 <= numbers[1] < np.inf and numbers[2] in range(2**31)
        ):
            raise ValueError(
                f"{_ARRAYS}: 'numbers' is {numbers}, expected a regularisation above 0, a confidence of at least 1 and "
                "a whole number of events"
            )
        scorer = cls(arrays["item_factors"], numbers[0], numbers[1], int(numbers[2]))
        try:
            np.linalg.cholesky(scorer.gram)
        except np.linalg.LinAlgError as error:
            raise ValueError(f"{_ARRAYS}: no history's factors can be solved for with these ({error})") from error
        return scorer


def _distinct(histories: Histories, vocabulary_size: int, *, length: int) -> Histories:
    """Return the known items of the last events of each history, each once and in ascending order."""
    recent = known_items(histories).last(length) if length else histories
    rows, items = distinct_items(recent, vocabulary_size)
    ends = np.searchsorted(rows, np.arange(len(recent)), side="right")
    starts = np.concatenate([np.zeros(1, np.int64), ends])[: len(recent)]
    return Histories(items.astype(np.int32), np.zeros(len(items), np.int64), starts, ends)
