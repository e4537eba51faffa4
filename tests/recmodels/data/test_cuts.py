from datetime import UTC, datetime

import numpy as np

from recmodels.data.cuts import (
    TEST,
    TRAIN,
    VALIDATION,
    Bounds,
    as_microseconds,
    as_moment,
    bounds_of_parts,
    moments_of,
    parts_by_position,
    parts_by_time,
)
from recmodels.data.events import sorted_events
from recmodels.recipe import SplitConfig
from tests.recmodels.data.tables import interactions

SECOND = 1_000_000


def test_an_event_at_a_cut_belongs_to_the_later_part() -> None:
    events = sorted_events(interactions([("a", "x", second) for second in range(5)]))
    parts = parts_by_time(events, Bounds(train=2 * SECOND, validation=3 * SECOND, test=5 * SECOND))
    assert parts.tolist() == [TRAIN, TRAIN, VALIDATION, TEST, TEST]


def test_users_of_two_events_only_train() -> None:
    rows = [("a", "x", 1), ("a", "x", 2), ("b", "x", 1), ("b", "x", 2), ("b", "x", 3)]
    assert parts_by_position(sorted_events(interactions(rows))).tolist() == [TRAIN, TRAIN, TRAIN, VALIDATION, TEST]


def test_a_leave_one_out_part_ends_after_the_last_of_its_events() -> None:
    events = sorted_events(interactions([("a", "x", 1), ("a", "x", 2), ("a", "x", 3), ("b", "x", 9)]))
    bounds = bounds_of_parts(events, np.array([TRAIN, VALIDATION, TEST, TRAIN], dtype=np.int8))
    assert bounds == Bounds(train=9 * SECOND + 1, validation=9 * SECOND + 1, test=9 * SECOND + 1)


def test_shares_choose_the_moment_of_the_first_interaction_after_them() -> None:
    table = interactions([("a", "x", 10 * n) for n in range(20)])
    split = SplitConfig(validation_fraction=0.25, test_fraction=0.25)
    assert moments_of(table, split) == Bounds(train=100 * SECOND, validation=150 * SECOND, test=190 * SECOND + 1)


def test_dates_choose_themselves_and_are_utc_without_a_zone() -> None:
    table = interactions([("a", "x", 10)])
    split = SplitConfig(validation_from=datetime(1970, 1, 2), test_from=datetime(1970, 1, 3, tzinfo=UTC))
    assert moments_of(table, split) == Bounds(86_400 * SECOND, 2 * 86_400 * SECOND, 10 * SECOND + 1)


def test_a_tiny_test_share_still_takes_the_last_moment() -> None:
    table = interactions([("a", "x", n) for n in range(3)])
    bounds = moments_of(table, SplitConfig(validation_fraction=0.01, test_fraction=0.01))
    assert bounds == Bounds(2 * SECOND, 2 * SECOND, 2 * SECOND + 1)


def test_moments_and_microseconds_undo_each_other() -> None:
    moment = datetime(2024, 3, 1, 12, 30, 0, 7, tzinfo=UTC)
    assert as_moment(as_microseconds(moment)) == moment
