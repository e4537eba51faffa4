"""A small part of benchmarks/drift_simulation.py, so that its targets are watched by the suite."""

from itertools import islice

import pytest

from benchmarks.drift_simulation import _delay as delay
from benchmarks.drift_simulation import _nulls as nulls
from benchmarks.drift_simulation import schema, stable


def test_stable_days_stay_quiet():
    incidents, alarm_days = islice(stable(20, runs=5), 2)
    assert incidents.holds, incidents.measured
    assert alarm_days.holds, alarm_days.measured


@pytest.mark.parametrize(("figures", "shift", "by"), [(20, 0.2, 2), (20, 0.1, 3), (200, 0.2, 2), (200, 0.1, 4)])
def test_shift_is_found_by_its_day(figures, shift, by):
    found = delay(figures, shift, by=by, runs=100)
    assert found.holds, found.measured


def test_nulls_and_schema_are_found_at_once():
    assert nulls(100).holds
    assert schema().holds
