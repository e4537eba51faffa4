"""Drift leads to a retrain: within its limits, with its cause, and once, whatever dies in between."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows.clock import at
from flows.following import decide, follow
from flows.lifecycle import lifecycle
from flows.references import Traffic
from flows.retraining import retrain
from flows.retrains import RetrainConfig, causes, request_retrain, start_retrains
from flows.wiring import Platform, connect
from infra.outbox import IncidentRecord
from infra.retrains import GIVEN_UP, Retrain
from infra.settings import Settings
from monitoring.policy import PolicyConfig
from monitoring.result import CheckResult, Status
from recmodels.presets import item_knn, popularity
from tests.flows.homes import WORLD, api, at_home

NIGHT = datetime.fromisoformat("2024-01-29T00:45+00:00")
"""After the 28 days of the world."""

LIMITS = PolicyConfig(settle_days=0, minimum_new_rows=100, minimum_drifted_rows=100)
CONFIG = RetrainConfig(recipes=(popularity(), item_knn()))


@pytest.fixture(scope="module")
def served(server: Settings, mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home in which popularity serves, and nothing is on its way."""
    with at_home(tmp_path_factory.mktemp("drifted"), server, mlflow=mlflow_template) as settings:
        with at(NIGHT):
            lifecycle(WORLD, [popularity()], Traffic.LIVE)
        yield settings


@pytest.fixture
def home(served: Settings) -> Iterator[Platform]:
    """The same home as a new process finds it; what a test wrote about retrains is gone after it."""
    connect.cache_clear()
    yield connect(served)
    with connect(served).database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM retrains")
        connection.exec_driver_sql("DELETE FROM incidents")


def drifted(days: float = 2) -> CheckResult:
    return CheckResult("clicked_rate", "model", Status.DRIFT, size=-9.0, since=NIGHT - timedelta(days=days))


def opened(home: Platform, *names: str, family: str = "model") -> None:
    records = [IncidentRecord(name, "champion", family, "open", NIGHT, NIGHT, {}, 0) for name in names]
    home.outbox.record(records, [], channels=[], now=NIGHT)


def night(home: Platform, *, after: timedelta = timedelta(0), limits: PolicyConfig = LIMITS) -> str:
    """Decide and follow as a monitor run does, in a process of its own, and return what was decided."""
    connect.cache_clear()
    with at(NIGHT + after):
        decided = decide([drifted()], limits, extra=None)
        follow.fn(decided)
    return f"{decided.action}: {decided.reasons[0]}"


def ended(home: Platform, asked: Retrain) -> None:
    home.retrains.claim(asked.retrain_id, now=asked.requested_at)
    home.retrains.end(asked.retrain_id, now=asked.requested_at, outcome="refused", words="")


def test_cause_and_start_of_the_drift_are_written_down_when_the_policy_retrains(home: Platform) -> None:
    opened(home, "fell")
    opened(home, "slow", family="serving")
    assert night(home).startswith("retrain: Drift that new data can teach")
    (asked,) = home.retrains.all()
    assert (asked.incident_ids, asked.learns_from) == (("fell",), NIGHT - timedelta(days=2))
    assert "clicked_rate drifted (model)" in asked.reason
    assert asked.started_at is None


def test_cool_down_holds_in_the_next_process(home: Platform) -> None:
    assert night(home).startswith("retrain")
    ended(home, home.retrains.all()[0])
    assert "less than 2 days ago" in night(home, after=timedelta(days=1.9))
    assert night(home, after=timedelta(days=2)).startswith("retrain")


def test_weekly_budget_holds_in_the_next_process(home: Platform) -> None:
    for days in (0, 2):
        assert night(home, after=timedelta(days=days)).startswith("retrain")
        ended(home, home.retrains.all()[0])
    assert "2 of 2 of this week are spent" in night(home, after=timedelta(days=6.9))
    assert night(home, after=timedelta(days=7)).startswith("retrain")


def test_nothing_more_is_asked_for_while_a_retrain_waits(home: Platform) -> None:
    assert night(home).startswith("retrain")
    assert "under way" in night(home, after=timedelta(days=3))
    assert len(home.retrains.all()) == 1


def test_rows_since_the_drift_are_counted_when_they_are_too_few(home: Platform) -> None:
    counts = home.lake.daily_counts("interactions")
    since = (NIGHT - timedelta(days=2)).date()
    expected = sum(count for day, count in counts.items() if day >= since)
    said = night(home, limits=PolicyConfig(settle_days=0, minimum_new_rows=0, minimum_drifted_rows=expected + 1))
    assert said.startswith(f"alert: No retrain: {expected} labelled rows came since the drift began, {expected + 1}")
    assert not home.retrains.all()


def test_everything_is_learned_from_when_the_policy_says_so(home: Platform) -> None:
    assert night(home, limits=LIMITS.model_copy(update={"learns_from": "everything"})).startswith("retrain")
    assert home.retrains.all()[0].learns_from is None


def test_retrain_runs_once_when_a_process_died_between_writing_and_starting(home: Platform, server: Settings) -> None:
    opened(home, "fell")
    with at(NIGHT):
        asked = request_retrain("clicks fell", learns_from=NIGHT - timedelta(days=14), seen=0)
        assert asked is not None  # here the first process dies
    connect.cache_clear()
    with at(NIGHT + timedelta(hours=1)):
        assert request_retrain("clicks fell", learns_from=None, seen=0) == asked
        start_retrains(CONFIG)
        start_retrains(CONFIG)
        assert retrain(asked.retrain_id, CONFIG) is None
    (known,) = home.retrains.all()
    assert (known.outcome, known.version, known.learns_from) == ("challenger", 2, NIGHT - timedelta(days=14))
    (rollout,) = home.rollouts.rollouts()
    assert rollout.cause == known.cause == f"retrain {asked.retrain_id}, incidents fell: clicks fell"
    version = next(one for one in home.registry.versions() if one.version == 2)
    assert (version.tags["retrain"], version.tags["cause"]) == (known.retrain_id, known.cause)
    assert home.tracker.client.get_run(version.run_id).data.tags["cause"] == known.cause
    pages = [one for one in api(server, "artifacts/filter", {}) if one["key"] == "retrain"]
    assert any(known.retrain_id in page["data"] and "since 2024-01-15" in page["data"] for page in pages)
    with at(NIGHT + timedelta(hours=1)):
        home.rollouts.roll_back(rollout.rollout_id, fencing=None, now=NIGHT, by="test", reason="seen enough")


def test_retrain_says_why_when_it_fails(home: Platform) -> None:
    with at(NIGHT):
        asked = request_retrain("clicks fell", learns_from=NIGHT - timedelta(hours=2), seen=0)
        assert asked is not None
        start_retrains(CONFIG)
    (known,) = home.retrains.all()
    assert known.outcome == "failed"
    assert known.words
    assert home.retrains.unstarted(now=NIGHT + 2 * GIVEN_UP) == []


def test_only_incidents_that_data_can_teach_are_causes(home: Platform) -> None:
    opened(home, "fell")
    opened(home, "unit", family="data")
    opened(home, "channel", family="delivery")
    assert causes(home, now=NIGHT) == ["fell"]
