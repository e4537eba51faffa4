"""What was shown before a model was loaded: the lists that its exposure counts begin from."""

import logging
import math
from collections.abc import Sequence
from typing import Final

from infra.events import EventStore
from recmodels.errors import StoreError

_log = logging.getLogger(__name__)

_MEMORIES: Final = 3
"""What is older counts for less than 5 %."""
_MOST: Final = 50_000


def lists_for(memory: float) -> int:
    """Return how many lists are read for a memory of so many lists."""
    return min(_MOST, math.ceil(_MEMORIES * memory))


class RecordedLists:
    """The lists that all workers showed to people.

    Args:
        events: Where they are until they move to the lake, three days or more.
    """

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def newest(self, limit: int) -> Sequence[Sequence[str]]:
        """Return at most `limit` lists, the newest first; none where they cannot be read, and the counts begin anew."""
        try:
            return self._events.recent_lists(limit)
        except StoreError as error:
            _log.warning("shown lists not readable, exposure is counted anew: %s", error)
            return ()
