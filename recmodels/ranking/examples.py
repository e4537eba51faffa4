"""Examples of the second stage: exposures, what was known when each was shown, and what came of it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories

TASKS: Final = ("clicked", "long_viewed", "liked", "shared", "followed", "commented", "hidden")
"""Names of `schema.FEEDBACK_COLUMNS`; a data set has those it has."""


@dataclass(frozen=True)
class FeatureSpec:
    """What the columns of `Examples` are; written into the bundle, so that serving builds the same ones.

    Attributes:
        categorical: Names, C.
        cardinalities: Sizes of the vocabularies, 0 = unknown or missing included.
        numeric: Names, F.
        surfaces: Index 0 is "other" (pooled or never seen).
        tasks: Labels with both classes in the training part, T.
        num_items: Size of the item vocabulary, its two special entries included; see `recmodels.data.vocabulary`.
        max_history: Longest history.
    """

    categorical: tuple[str, ...]
    cardinalities: tuple[int, ...]
    numeric: tuple[str, ...]
    surfaces: tuple[str, ...]
    tasks: tuple[str, ...]
    num_items: int
    max_history: int


@dataclass(frozen=True, eq=False)
class Examples:
    """N exposures: what was known when each was shown, and what came of it.

    Attributes:
        spec: What the columns are.
        items: (N,) item index.
        histories: N rows of item indices strictly before the exposure, oldest first, at most `max_history`.
        categorical: (N, C).
        numeric: (N, F) standardised by the training part; 0 where missing.
        surfaces: (N,) index into `spec.surfaces`.
        users: (N,) who; groups GAUC, NEVER a feature.
        timestamps: (N,) microseconds.
        labels: (N, T), NaN where not known.
        watch_seconds: (N,), NaN where not known.
        duration_seconds: (N,), NaN where not known.
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

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """Return the named rows, in the order given; a row may be named twice."""
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
        )
