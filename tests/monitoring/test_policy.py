from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.policy import PolicyAction, PolicyConfig, PolicyState, decide, drift_began
from monitoring.result import COUNTS_ROWS, CheckResult, Status

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CONFIG = PolicyConfig(settle_days=0, cool_down_days=2, weekly_retrains=2, minimum_new_rows=1000, rollback_days=2)


def days(number: float) -> datetime:
    return NOW - timedelta(days=number)


def drift(family, since=NOW):
    return CheckResult(f"{family}_figure", family, Status.DRIFT, size=4.0, since=since)


READY = PolicyState(new_labelled_rows=1000, drifted_rows=10_000)


@pytest.mark.parametrize(
    ("results", "state", "action", "reason"),
    [
        ([], READY, "ok", "No drift in 0 judged figures"),
        ([CheckResult("x", "data", Status.OK)], READY, "ok", "No drift in 1 judged"),
        ([CheckResult("x", "data", Status.INSUFFICIENT)], READY, "ok", "1 with too little data"),
        ([CheckResult("x", "data", Status.LEARNING)], READY, "ok", "1 learning"),
        ([drift("population")], READY, "retrain", "every limit allows"),
        (
            [drift("population")],
            PolicyState((), 1000, 9_999),
            "alert",
            "9999 labelled rows came since the drift began, 10000",
        ),
        ([drift("catalogue")], READY, "retrain", "every limit allows"),
        ([drift("model")], READY, "retrain", "every limit allows"),
        ([drift("data")], READY, "alert", "learn the fault"),
        ([drift("data"), drift("population")], READY, "alert", "learn the fault"),
        ([drift("serving")], READY, "alert", "teach nothing against this"),
        ([drift("serving"), drift("population")], READY, "retrain", "every limit allows"),
        (
            [drift("population")],
            PolicyState(new_labelled_rows=999, drifted_rows=10_000),
            "alert",
            "999 labelled rows are new, 1000",
        ),
        ([drift("population")], PolicyState((days(2),), 1000, 10_000), "retrain", "every limit allows"),
        ([drift("population")], PolicyState((days(1.99),), 1000, 10_000), "alert", "less than 2 days ago"),
        ([drift("population")], PolicyState((days(3), days(6.9)), 1000, 10_000), "alert", "2 of 2 of this week"),
        ([drift("population")], PolicyState((days(3), days(7)), 1000, 10_000), "retrain", "every limit allows"),
        (
            [drift("population")],
            PolicyState(new_labelled_rows=1000, drifted_rows=10_000, is_busy=True),
            "alert",
            "under way",
        ),
    ],
)
def test_action_is_the_tabled_one(results, state, action, reason):
    decision = decide(results, state, CONFIG, now=NOW)
    assert decision.action == action
    assert reason in decision.reasons[0]


@pytest.mark.parametrize(
    ("family", "since", "has_previous", "action"),
    [
        ("model", days(1), True, "roll_back"),
        ("serving", days(1), True, "roll_back"),
        ("model", days(3), True, "roll_back"),  # on the day of the release itself
        ("model", days(3.01), True, "retrain"),  # began before the release
        ("model", days(1), False, "retrain"),  # nothing to roll back to
        ("model", days(0.9), True, "retrain"),  # later than two days after it
        ("population", days(1), True, "retrain"),
        ("model", None, True, "retrain"),
    ],
)
def test_release_is_rolled_back_when_its_drift_began_soon_after(family, since, has_previous, action):
    state = PolicyState(
        new_labelled_rows=1000, drifted_rows=10_000, champion_since=days(3), has_previous_champion=has_previous
    )
    assert decide([drift(family, since)], state, CONFIG, now=NOW).action == action


def test_roll_back_comes_first_when_the_data_drifted_too():
    state = PolicyState(champion_since=days(1), has_previous_champion=True)
    decision = decide([drift("data"), drift("serving")], state, CONFIG, now=NOW)
    assert decision.action is PolicyAction.ROLL_BACK
    assert "after the release of 2026-11-20 00:00" in decision.reasons[0]


def test_every_refusal_is_named_when_several_apply():
    state = PolicyState((days(1), days(1.5)), 5, is_busy=True)
    reasons = decide([drift("population")], state, CONFIG, now=NOW).reasons
    assert len([reason for reason in reasons if reason.startswith("No retrain")]) == 5
    assert reasons[-1] == "population_figure drifted (population)."


def test_nothing_is_retrained_when_the_budget_is_zero():
    config = CONFIG.model_copy(update={"weekly_retrains": 0})
    assert decide([drift("population")], READY, config, now=NOW).action is PolicyAction.ALERT


def test_new_champion_is_left_until_days_that_it_served_are_judged():
    config = CONFIG.model_copy(update={"settle_days": 4})
    young, old = (replace(READY, champion_since=days(number)) for number in (3.9, 4))
    refused = decide([drift("population")], young, config, now=NOW)
    assert refused.action is PolicyAction.ALERT
    assert "less than 4 days; figures may still tell of the one before it" in refused.reasons[0]
    assert decide([drift("population")], old, config, now=NOW).action is PolicyAction.RETRAIN


def test_nothing_is_retrained_when_only_the_number_of_rows_moved():
    volume = replace(drift("population"), details={COUNTS_ROWS: 1.0}, size=9.0)
    refused = decide([volume], READY, CONFIG, now=NOW)
    assert refused.action is PolicyAction.ALERT
    assert "the number of rows alone" in refused.reasons[0]
    assert drift_began([volume]) is None
    taste = drift("catalogue", days(2))
    assert decide([volume, taste], READY, CONFIG, now=NOW).action is PolicyAction.RETRAIN
    assert drift_began([volume, taste]) == days(2)


def test_drift_began_when_the_figure_did_that_moved_most_and_can_be_taught():
    results = [
        CheckResult("small", "model", Status.DRIFT, size=-3.0, since=days(9)),
        CheckResult("large", "population", Status.DRIFT, size=8.0, since=days(2)),
        CheckResult("unit", "data", Status.DRIFT, size=90.0, since=days(5)),
        CheckResult("calm", "model", Status.OK, size=1.0, since=days(7)),
    ]
    assert drift_began(results) == days(2)
    assert drift_began(results[2:]) is None
