"""Whether a model may take traffic: it ranks for people before it ranks for the first one who waits.

The histories are those of users who were served last; a gateway without any takes other stored ones, and without those
prefixes of the most popular items.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, thread_time
from typing import Final

from infra.events import EventStore
from infra.histories import HistoryStore, UserHistory
from infra.serving.batching import DEADLINE_SECONDS, Standing, make_slates
from infra.serving.fallback import PopularItems
from infra.serving.history import HISTORY_LENGTH
from recmodels.errors import EverfeedError, StoreError
from recmodels.ranker import Ranker
from recmodels.slates import Ask

_log = logging.getLogger(__name__)

WARM_UP_USERS: Final = 64
"""Most users whose histories a model is warmed up with."""

_LEAST: Final = 16
_LATE_ENOUGH: Final = 5
_K: Final = 10


class UnfitModelError(EverfeedError):
    """A model that was loaded may not take traffic.

    Args:
        words: What it did, and what to do.
        reason: ``error``, ``not_finite`` or ``late``.
        popular: Its catalogue by popularity, which can serve all the same.
    """

    def __init__(self, words: str, *, reason: str, popular: PopularItems) -> None:
        super().__init__(words)
        self.reason = reason
        self.popular = popular


@dataclass(frozen=True)
class WarmUp:
    """How a model did.

    Attributes:
        rankings: Lists that it made.
        median_seconds: Their median duration.
        median_cpu_seconds: Their median computing time in the thread that ranks, which a busy machine does not change.
    """

    rankings: int
    median_seconds: float
    median_cpu_seconds: float


class RecordedHistories:
    """The histories that models are warmed up with.

    Args:
        events: Knows who was served last.
        histories: Knows what they did.
    """

    def __init__(self, events: EventStore, histories: HistoryStore) -> None:
        self._events = events
        self._histories = histories

    def read(self) -> list[UserHistory]:
        """Return at most `WARM_UP_USERS` histories, those of the users served last first; none of them is empty."""
        try:
            recent = self._events.recent_users(WARM_UP_USERS)
            others = self._histories.some_users(WARM_UP_USERS) if len(recent) < WARM_UP_USERS else []
            keys = list(dict.fromkeys([*recent, *others]))[:WARM_UP_USERS]
            found = [self._histories.last(key, limit=HISTORY_LENGTH) for key in keys]
        except StoreError as error:
            _log.warning("histories not readable, models are warmed up with popular items: %s", error)
            return []
        return [history for history in found if history.item_ids]


def warm_up(ranker: Ranker, histories: Sequence[UserHistory], *, popular: PopularItems) -> WarmUp:
    """Rank for each history, and at least 16 times.

    Args:
        ranker: The model.
        histories: Of people; may be none.
        popular: The catalogue by popularity, whose prefixes stand in for histories that are missing.

    Raises:
        UnfitModelError: A ranking failed, gave a score that is not a finite number, or the median took longer than a
            request may wait.
    """
    asks = [Ask(history.item_ids, history.timestamps, _K) for history in histories]
    asks += [Ask(popular.item_ids[: number * 4], None, _K) for number in range(_LEAST - len(asks))]
    seconds: list[float] = []
    computed: list[float] = []
    for ask in asks:
        began, computing = perf_counter(), thread_time()
        _rank(ranker, ask, popular)
        seconds.append(perf_counter() - began)
        computed.append(thread_time() - computing)
        if len(seconds) >= _LATE_ENOUGH and min(seconds) > DEADLINE_SECONDS:
            break  # the median of the rest would not save it, and whoever polls the stores waits meanwhile
    middle = median(seconds)
    if middle > DEADLINE_SECONDS:
        raise UnfitModelError(
            f"the model takes {middle:.3f} s for a list (median of {len(seconds)}); a request waits"
            f" {DEADLINE_SECONDS} s. Use a smaller model, a shorter history or an index.",
            reason="late",
            popular=popular,
        )
    return WarmUp(len(seconds), middle, median(computed))


def _rank(ranker: Ranker, ask: Ask, popular: PopularItems) -> None:
    try:
        (slate,) = make_slates(ranker, [ask], Standing())
    except Exception as error:
        raise UnfitModelError(
            f"the model fails on a history of {len(ask.item_ids)} items ({error!r}). Train it again.",
            reason="error",
            popular=popular,
        ) from error
    if slate.non_finite:
        raise UnfitModelError(
            f"the model gives scores that are not finite numbers on a history of {len(ask.item_ids)} items. Train it"
            " again, and look at its loss.",
            reason="not_finite",
            popular=popular,
        )
