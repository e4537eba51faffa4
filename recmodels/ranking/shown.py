"""What a ranker is asked about: a request of the gateway, and exposures in numbers wherever they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories


@dataclass(frozen=True, slots=True)
class RankingRequest:
    """What a gateway knows when candidates are to be ranked.

    Attributes:
        history: Item ids of the user's events, such as `FeatureConfig.history_label` means.
        timestamps: Microseconds of each; None where only the order, oldest first, is known.
        moment: Microseconds now; events that are not earlier are left out.
        surface: Where the list is shown; None is one never seen.
        query: What was searched for.
        attributes: Attributes of the user by name; what `FeatureConfig.user_attributes` does not name is not read.
    """

    history: Sequence[str]
    timestamps: Sequence[int] | None
    moment: int
    surface: str | None = None
    query: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Shown:
    """N exposures in numbers, from wherever they come.

    Attributes:
        rows: ``(N,)`` rows of the catalogue; -1 for an item that it lacks.
        histories: N rows strictly before each exposure.
        moments: ``(N,)`` microseconds.
        surfaces: ``(N,)`` index of each.
        attributes: ``(N, A)`` index of each user attribute.
        queries: ``(N, Q)`` pieces, or None.
        has_times: The timestamps of histories are times.
    """

    rows: NDArray[np.int32]
    histories: Histories
    moments: NDArray[np.int64]
    surfaces: NDArray[np.int32]
    attributes: NDArray[np.int32]
    queries: NDArray[np.int32] | None
    has_times: bool

    def part(self, rows: slice) -> "Shown":
        """Return some exposures without their queries."""
        taken = replace(self.histories, starts=self.histories.starts[rows], ends=self.histories.ends[rows])
        return Shown(
            rows=self.rows[rows],
            histories=taken,
            moments=self.moments[rows],
            surfaces=self.surfaces[rows],
            attributes=self.attributes[rows],
            queries=None,
            has_times=self.has_times,
        )


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of N exposures.

    Attributes:
        users: ``(N,)`` who each was shown to.
        labels: ``(N, T)`` 0, 1 or NaN.
        watched: ``(N,)`` seconds watched, as they stand in the data.
        durations: ``(N,)`` seconds that the item takes, as they stand beside the exposure.
    """

    users: NDArray[np.int32]
    labels: NDArray[np.float32]
    watched: NDArray[np.float64]
    durations: NDArray[np.float64]
