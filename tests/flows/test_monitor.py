"""Which days the monitor judges."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from flows.monitor import serves_people, settled
from flows.observed import Window
from flows.wiring import Platform
from recmodels.data.schema import TIMESTAMP, TIMESTAMP_TYPE
from tests.flows.test_collect import _ask, platform  # noqa: F401 - a fixture

NIGHT = datetime(2026, 3, 10, 0, 45, tzinfo=UTC)


def window(*hours: float) -> Window:
    times = pa.array([NIGHT - timedelta(hours=one) for one in hours], TIMESTAMP_TYPE)
    table = pa.table({TIMESTAMP: times})
    return Window(table.slice(0, 0), table, 1.0)


def test_day_is_left_out_until_all_of_it_has_matured() -> None:
    left = settled(window(97, 73, 72.5, 24), before=NIGHT - timedelta(hours=72))
    assert left.as_of == NIGHT - timedelta(hours=73)  # the last of the day before the one that is moving
    assert left.current.num_rows == 2


def test_everything_stays_when_nothing_is_old_enough() -> None:
    young = window(24, 1)
    assert settled(young, before=NIGHT - timedelta(hours=72)) is young


def test_people_are_served_as_soon_as_one_was_answered(platform: Platform) -> None:  # noqa: F811
    assert not serves_people(platform)
    _ask(platform, 1)
    assert serves_people(platform)
