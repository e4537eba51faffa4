import numpy as np
import pyarrow as pa
import pytest

from recmodels.data.events import EncodedEvents, sorted_events, starts_of_ties
from recmodels.data.vocabulary import Vocabulary
from tests.recmodels.data.tables import interactions

ROWS = [("a", "x", 1), ("a", "y", 1), ("a", "x", 4), ("b", "z", 4), ("b", "x", 5)]


def test_users_are_ranges_of_the_sorted_events() -> None:
    events = sorted_events(interactions(ROWS))
    assert events.user_ids.tolist() == ["a", "b"]
    assert events.user_starts.tolist() == [0, 3, 5]
    assert (events.timestamps // 1_000_000).tolist() == [1, 1, 4, 4, 5]
    assert len(events) == 5


def test_a_tie_starts_at_each_new_moment_of_a_user() -> None:
    """The fourth event has the moment of the third, but another user."""
    assert starts_of_ties(sorted_events(interactions(ROWS))).tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("order", [[0, 3, 1, 2, 4], [2, 0, 1, 3, 4]])
def test_unsorted_events_are_a_bug(order: list[int]) -> None:
    with pytest.raises(AssertionError, match="must be sorted"):
        sorted_events(interactions(ROWS).take(pa.array(order)))


def test_unknown_events_stay_among_the_items_only() -> None:
    encoded = EncodedEvents.of(sorted_events(interactions(ROWS)), Vocabulary(np.array(["x"])))
    assert encoded.items.tolist() == [2, 1, 2, 1, 2]
    assert encoded.known_items.tolist() == [2, 2, 2]
    assert (encoded.known_timestamps // 1_000_000).tolist() == [1, 4, 5]
    assert encoded.known_before.tolist() == [0, 1, 1, 2, 2, 3]
