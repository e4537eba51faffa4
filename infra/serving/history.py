"""Which history a list is made from: the one in the request, or the one that is stored under the user's key."""

from infra.columns import to_microseconds
from infra.histories import HistoryStore, UserHistory
from infra.serving.schemas import HistoryEvent, RecommendRequest

HISTORY_LENGTH = 200
"""Most stored events that are read for a request; the newest ones."""


def find_history(request: RecommendRequest, *, user_key: str, store: HistoryStore) -> UserHistory:
    """Return the given history where there is one, even an empty one, else the stored one.

    Raises:
        StoreError: The store cannot be read.
    """
    if request.history is None:
        return store.last(user_key, limit=HISTORY_LENGTH)
    return UserHistory(
        tuple(event.item_id for event in request.history),
        tuple(_microseconds(event) for event in request.history),
    )


def _microseconds(event: HistoryEvent) -> int:
    return event.timestamp if isinstance(event.timestamp, int) else to_microseconds(event.timestamp)
