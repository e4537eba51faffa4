"""What a click does at once: the item joins the history of the user it was shown to, so that the next list knows it."""

from collections.abc import Sequence

from sqlalchemy import Connection

from infra.event_intake import visits
from infra.events import Outcome
from infra.histories import HistoryEvent, HistoryStore
from recmodels.data.schema import CLICKED, ORIGIN_EVENT


class Clicks:
    """Adds clicked items to histories; replayed traffic adds nothing.

    Args:
        histories: Where the items go.
    """

    def __init__(self, histories: HistoryStore) -> None:
        self._histories = histories

    def learn(self, connection: Connection, outcomes: Sequence[Outcome]) -> int:
        """Add the clicked items among outcomes that are kept, in the transaction that keeps them.

        The time of an added event is that of the answer, which a repeated report cannot change: a report that is sent
        again after a crash completes what is missing and adds nothing twice.

        Returns:
            How many events were new.

        Raises:
            StoreError: The store cannot be used.
        """
        clicked = [event for event in outcomes if event.kind == CLICKED and event.value > 0]
        if not clicked:
            return 0
        known = visits(connection, (event.request_id for event in clicked))
        seen = [
            HistoryEvent(visit.user_key, event.item_id, visit.timestamp, visit.surface)
            for event in clicked
            if (visit := known.get(event.request_id)) is not None and visit.origin == ORIGIN_EVENT
        ]
        return self._histories.add(connection, seen) if seen else 0
