"""The clock of flows."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from prefect import flow, task

from flows.clock import at, utc_now
from infra.settings import Settings

MOMENT = datetime(2020, 1, 2, 3, tzinfo=timezone(timedelta(hours=1)))


def test_time_is_the_present_when_nobody_turned_the_clock() -> None:
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)


def test_moment_holds_inside_and_is_given_back_after_an_error() -> None:
    seen = []

    def live() -> None:
        with at(MOMENT):
            seen.append(utc_now())
            with at(MOMENT + timedelta(days=1)):
                seen.append(utc_now())
            seen.append(utc_now())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        live()
    assert seen == [MOMENT, MOMENT + timedelta(days=1), MOMENT]
    assert {moment.tzinfo for moment in seen} == {UTC}
    assert utc_now() > MOMENT + timedelta(days=1000)


def test_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"), at(datetime(2020, 1, 1)):
        pass


def test_flows_and_tasks_live_at_the_moment_when_they_are_called_in_it(home: Settings) -> None:
    @task
    def ask() -> datetime:
        return utc_now()

    @flow
    def inner() -> datetime:
        return ask()

    @flow
    def outer() -> list[datetime]:
        return [utc_now(), ask(), inner()]

    with at(MOMENT):
        assert outer() == [MOMENT] * 3
