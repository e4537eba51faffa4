"""The quiet that is asked of the closed loop: from the first resolution of everything until something follows."""

import pytest

from benchmarks.loop_targets import quiet_days


@pytest.mark.parametrize(
    ("incidents", "days"),
    [
        ([(31.0, 36.0), (35.0, 38.0), (36.0, 38.0)], 31),
        ([(49.0, 55.0), (31.0, 37.0), (35.0, 39.0)], 10),  # a later one, although the end is quiet again
        ([(31.0, 36.0), (35.0, None)], 0),
        ([], 0),
    ],
)
def test_quiet_lasts_until_the_next_incident_opens(incidents, days):
    assert quiet_days(incidents, end=69) == days
