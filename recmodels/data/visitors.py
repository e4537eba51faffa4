"""Held-out users as visitors: who asks the gateway when recorded data is replayed."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.splits import Queries
from recmodels.errors import DataError


@dataclass(frozen=True, eq=False)
class Visitors:
    """Visits drawn with replacement from held-out users, each at one moment of that user's held-out time.

    Attributes:
        histories: ``(B,)`` rows of what the user had done before that moment.
        futures: ``(B,)`` rows of what the user goes on to do, the moment itself included; may hold `UNKNOWN`.
        user_ids: ``(B,)`` the users that the visits were drawn from; several visits may share one.
    """

    histories: Histories
    futures: Histories
    user_ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.user_ids)


def resample(queries: Queries, *, count: int, seed: int) -> Visitors:
    """Draw visits: first a user, each as likely as any other, then one of that user's moments.

    Args:
        queries: What users did in a window that no model was trained on, sorted by user and time.
        count: Number of visits.
        seed: The same seed draws the same visits.

    Raises:
        DataError: There is no query to draw from.
    """
    if not len(queries):
        raise DataError(
            "there are no held-out events to draw visitors from: the test part of the split is empty. Choose an "
            "earlier cutoff or a larger test_fraction."
        )
    rng = np.random.default_rng(seed)
    _, first = np.unique(queries.user_ids, return_index=True)
    first = np.sort(first)
    last = np.append(first[1:], len(queries)) - 1
    user = rng.integers(len(first), size=count)
    row = rng.integers(first[user], last[user] + 1)
    targets = queries.targets
    same = queries.user_ids[1:] == queries.user_ids[:-1]
    assert (targets.starts[1:] == targets.ends[:-1])[same].all(), "targets of one user must stand side by side"
    futures = replace(targets, starts=targets.starts[row], ends=targets.ends[last[user]])
    return Visitors(queries.histories.take(row), futures, queries.user_ids[row])
