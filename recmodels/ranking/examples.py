"""Exposures as a ranker reads them: what was known when each was shown, and what came of it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.schema import CLICKED, COMMENTED, FOLLOWED, HIDDEN, LIKED, LONG_VIEWED, SHARED

TASKS = (CLICKED, LONG_VIEWED, LIKED, SHARED, FOLLOWED, COMMENTED, HIDDEN)
"""Kinds of feedback that a head may predict, in this order; a data set has those it has."""
OTHER_SURFACE = "other"
"""Surface 0: those of few rows pooled, and those never seen."""


@dataclass(frozen=True)
class FeatureSpec:
    """What the columns of `Examples` are; written into the bundle, so that serving builds the same ones.

    Attributes:
        categorical: Names of the C categorical columns.
        cardinalities: Sizes of their vocabularies; index 0 is a value that is missing or was never seen.
        numeric: Names of the F numeric columns.
        surfaces: Names of the S surfaces; index 0 is `OTHER_SURFACE`.
        tasks: The T labels that have both classes in the training part, in the order of `TASKS`.
        num_items: V, size of the item vocabulary: padding 0, unknown 1, items from 2.
        max_history: L, most events of a history.
        query_buckets: Numbers that pieces of a query are hashed to, from 1; 0 where the data has no query.
        max_query: Q, most pieces of a query; 0 where the data has no query.
    """

    categorical: tuple[str, ...]
    cardinalities: tuple[int, ...]
    numeric: tuple[str, ...]
    surfaces: tuple[str, ...]
    tasks: tuple[str, ...]
    num_items: int
    max_history: int
    query_buckets: int = 0
    max_query: int = 0


@dataclass(frozen=True, eq=False)
class Examples:
    """N exposures: what was known when each was shown, and what came of it.

    Attributes:
        spec: What the columns are.
        items: ``(N,)`` item index.
        histories: N rows of item indices strictly before the exposure, oldest first, at most L.
        categorical: ``(N, C)`` index of each categorical value; 0 is missing or unknown.
        numeric: ``(N, F)`` standardised by the training part; 0 where missing.
        surfaces: ``(N,)`` index into `FeatureSpec.surfaces`.
        users: ``(N,)`` who it was shown to: groups GAUC and is never a feature.
        timestamps: ``(N,)`` microseconds since 1970 UTC.
        labels: ``(N, T)`` 0 or 1; NaN where it is not known.
        watch_seconds: ``(N,)`` NaN where it is not known.
        duration_seconds: ``(N,)`` NaN where it is not known.
        queries: ``(N, Q)`` buckets of the pieces of the query, 0 behind the last; None where the data has no query.
    """

    spec: FeatureSpec
    items: NDArray[np.int32]
    histories: Histories
    categorical: NDArray[np.int32]
    numeric: NDArray[np.float32]
    surfaces: NDArray[np.int32]
    users: NDArray[np.int32]
    timestamps: NDArray[np.int64]
    labels: NDArray[np.float32]
    watch_seconds: NDArray[np.float32]
    duration_seconds: NDArray[np.float32]
    queries: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        rows, spec = len(self.items), self.spec
        expected = {
            "histories": (rows,),
            "categorical": (rows, len(spec.categorical)),
            "numeric": (rows, len(spec.numeric)),
            "labels": (rows, len(spec.tasks)),
            **dict.fromkeys(("surfaces", "users", "timestamps", "watch_seconds", "duration_seconds"), (rows,)),
        }
        for name, shape in expected.items():
            column = getattr(self, name)
            found = (len(column),) if name == "histories" else column.shape
            assert found == shape, f"{name} has shape {found}, expected {shape}"
        assert self.queries is None or self.queries.shape == (rows, spec.max_query), "queries do not fit the spec"

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """Return the named exposures, in the order given; the events of histories are shared, not copied."""
        return replace(
            self,
            items=self.items[rows],
            histories=self.histories.take(rows),
            categorical=self.categorical[rows],
            numeric=self.numeric[rows],
            surfaces=self.surfaces[rows],
            users=self.users[rows],
            timestamps=self.timestamps[rows],
            labels=self.labels[rows],
            watch_seconds=self.watch_seconds[rows],
            duration_seconds=self.duration_seconds[rows],
            queries=None if self.queries is None else self.queries[rows],
        )
