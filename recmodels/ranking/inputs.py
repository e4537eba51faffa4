"""From examples to the numbers that a network looks up, the same in training and when serving; free of torch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.data.batches import pad
from recmodels.data.vocabulary import UNKNOWN
from recmodels.ranking.examples import Examples

MOST: Final = 10.0
"""A numeric column is cut to -10 ... 10 standard deviations: what lies beyond is an error of the data."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """N exposures under R histories. What is out of range counts as unknown.

    Attributes:
        items: (N,) below `num_items`.
        categorical: (N, C), each column below its cardinality.
        numbers: (N, F) finite.
        surfaces: (N,) below S.
        duration: (N,) seconds; NaN where not known.
        queries: (N, Q) buckets, 0 for none; Q is 0 where the data has no query.
        histories: (R, L) items, padded on the left; L at least 1.
        request: (N,) which history is whose.
    """

    items: NDArray[np.int64]
    categorical: NDArray[np.int64]
    numbers: NDArray[np.float32]
    surfaces: NDArray[np.int64]
    duration: NDArray[np.float32]
    queries: NDArray[np.int64]
    histories: NDArray[np.int64]
    request: NDArray[np.int64]

    @property
    def is_own(self) -> bool:
        """Whether row n's history is n's alone."""
        return len(self.histories) == len(self.items) and bool((self.request == np.arange(len(self.items))).all())


def inputs_of(examples: Examples) -> Inputs:
    """Return what a network looks up; exposures under one history share it.

    Args:
        examples: N, at least one.
    """
    spec = examples.spec
    histories = examples.histories.last(spec.max_history)
    first, request = _distinct(histories.starts, histories.ends)
    rows = histories.take(first)
    padded = pad(rows, length=max(int(rows.lengths.max(initial=1)), 1))
    queries = np.zeros((len(examples), 0), np.int32) if examples.queries is None else examples.queries
    return Inputs(
        items=_within(examples.items, spec.num_items, otherwise=UNKNOWN),
        categorical=_within(examples.categorical, np.array(spec.cardinalities, np.int64), otherwise=0),
        numbers=np.clip(np.nan_to_num(examples.numeric, nan=0.0, posinf=MOST, neginf=-MOST), -MOST, MOST),
        surfaces=_within(examples.surfaces, len(spec.surfaces), otherwise=0),
        duration=np.where(examples.duration_seconds >= 0, examples.duration_seconds, np.float32(np.nan)),
        queries=_queries(queries, spec.query_buckets + 1),
        histories=_within(padded, spec.num_items, otherwise=UNKNOWN),
        request=request,
    )


def _distinct(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct history, (R,), and the history of each row, (N,)."""
    if (starts == starts[0]).all() and (ends == ends[0]).all():  # one request, by far the quickest to tell
        return np.zeros(1, np.int64), np.zeros(len(starts), np.int64)
    pairs = starts * (ends.max() + 1) + ends
    _, first, request = np.unique(pairs, return_index=True, return_inverse=True)
    if len(first) == len(starts):
        return np.arange(len(starts)), np.arange(len(starts))
    return first, request


def _queries(queries: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return (N, Q) buckets; the one query of one request stays one row in memory."""
    if len(queries) and queries.strides[0] == 0:
        return np.broadcast_to(_within(queries[:1], size, otherwise=0), queries.shape)
    return _within(queries, size, otherwise=0)


def _within(values: NDArray[np.int32], size: int | NDArray[np.int64], *, otherwise: int) -> NDArray[np.int64]:
    wide = values.astype(np.int64)
    return np.where((wide >= 0) & (wide < size), wide, otherwise)
