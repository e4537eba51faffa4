"""The rows of interactions that a ranker learns from, in one fixed order, and what each user had done before each."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.histories import Histories
from recmodels.data.interactions import connect
from recmodels.data.schema import EVENT_ID, ITEM_ID, ORIGIN, ORIGIN_REPLAY, TIMESTAMP, USER_ID
from recmodels.data.vocabulary import UNKNOWN, Vocabulary
from recmodels.errors import DataError


@dataclass(frozen=True, eq=False)
class Exposures:
    """N exposures sorted by user, time and, for ties, a fixed hash (MD5) of the event id.

    Attributes:
        table: Schema `INTERACTIONS`.
        users: ``(N,)`` number of the user, in the order of their ids.
        timestamps: ``(N,)`` microseconds since 1970 UTC.
    """

    table: pa.Table
    users: NDArray[np.int32]
    timestamps: NDArray[np.int64]

    @classmethod
    def of(cls, interactions: pa.Table) -> "Exposures":
        """Read interactions; replayed rows and rows without a user or item id are left out.

        Raises:
            DataError: Nothing is left.
        """
        is_usable = pc.and_(pc.is_valid(interactions[USER_ID]), pc.is_valid(interactions[ITEM_ID]))
        chosen = interactions.filter(pc.and_(is_usable, pc.not_equal(interactions[ORIGIN], ORIGIN_REPLAY)))
        if not chosen.num_rows:
            raise DataError(
                f"none of {interactions.num_rows} interactions has a user, an item and another origin than "
                f"{ORIGIN_REPLAY!r}. A ranker learns from exposures: read a source that has them."
            )
        with connect() as connection:
            connection.register("rows", chosen.append_column("_row", pa.array(np.arange(chosen.num_rows))))
            order = connection.sql(
                f"SELECT _row FROM rows ORDER BY {USER_ID}, {TIMESTAMP}, md5({EVENT_ID}), _row"  # noqa: S608
            ).fetchnumpy()["_row"]
        table = chosen.take(pa.array(order)).combine_chunks()
        ids = table[USER_ID].combine_chunks().dictionary_encode()
        users = ids.indices.to_numpy().astype(np.int32)
        timestamps = table[TIMESTAMP].cast(pa.int64()).to_numpy()
        assert ((np.diff(users) > 0) | ((np.diff(users) == 0) & (np.diff(timestamps) >= 0))).all(), "out of order"
        return cls(table, users, timestamps)

    def __len__(self) -> int:
        return len(self.timestamps)

    def by_time(self) -> NDArray[np.int64]:
        """Return the rows in the order of time; of equal times in that of users and hashes."""
        return np.argsort(self.timestamps, kind="stable")

    def histories(self, vocabulary: Vocabulary, *, label: str, max_history: int) -> Histories:
        """Return what each user had done strictly before each exposure, N rows of at most `max_history` events.

        Args:
            vocabulary: Items outside it are not in histories.
            label: The feedback that makes an exposure an event; ``any`` for every exposure.
            max_history: The last so many events are kept.
        """
        items = vocabulary.encode(self.table[ITEM_ID])
        is_event = items != UNKNOWN
        if label != "any":
            is_event &= pc.fill_null(self.table[label], False).to_numpy()  # noqa: FBT003
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(is_event, dtype=np.int64)])
        rows = np.arange(len(self))
        is_new_user = np.concatenate([np.ones(1, dtype=np.bool_), np.diff(self.users) != 0])
        is_later = is_new_user | np.concatenate([np.ones(1, dtype=np.bool_), np.diff(self.timestamps) != 0])
        of_user = before[np.maximum.accumulate(np.where(is_new_user, rows, 0))]
        ends = before[np.maximum.accumulate(np.where(is_later, rows, 0))]
        starts = np.maximum(of_user, ends - max_history)
        return Histories(items[is_event], self.timestamps[is_event], starts, ends)
