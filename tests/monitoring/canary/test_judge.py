from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from monitoring.canary import GUARDRAILS, Action, ArmUnits, judge
from tests.monitoring.canary.evidence import CONFIG, LAST, NOW, arm, evidence

OVERDUE = {"deadline_at": NOW}
BETTER = arm(clicks=2_000)
WORSE = arm(clicks=500)
EMPTY = ArmUnits(np.empty(0), np.empty(0))
NOBODY = {"canary": EMPTY, "control": EMPTY, "assigned_canary": 0, "assigned_control": 0}


def _judge(found, *, step=LAST, config=CONFIG, now=NOW):
    return judge(found, step=step, config=config, now=now)


def _decision(found, **arguments):
    verdict = _judge(found, **arguments)
    return verdict.action, verdict.rule


def _with_nan():
    reward = BETTER.reward.copy()
    reward[7] = np.nan
    return replace(BETTER, reward=reward)


BROKEN = {
    "no_data": evidence(BETTER, newest_at=None),
    "stale_data": evidence(BETTER, newest_at=NOW - timedelta(seconds=901)),
    "invalid_data": evidence(_with_nan()),
    "no_traffic": evidence(**NOBODY),
    "no_outcomes": evidence(BETTER, arm(clicks=0)),
    "guardrail_missing": evidence(replace(BETTER, flags={"error": np.zeros(10_000, dtype=bool)})),
    "sample_ratio": evidence(BETTER, assigned_canary=11_000),
}


@pytest.mark.parametrize("rule", BROKEN)
@pytest.mark.parametrize("step", [0, LAST])
def test_held_when_the_evidence_is_unusable(rule, step):
    assert _decision(BROKEN[rule], step=step) == (Action.HOLD, rule)


@pytest.mark.parametrize("rule", BROKEN)
@pytest.mark.parametrize("policy", ["hold", "rollback"])
def test_rolled_back_at_the_deadline_when_the_evidence_is_unusable(rule, policy):
    config = CONFIG.model_copy(update={"on_inconclusive": policy})
    assert _decision(replace(BROKEN[rule], **OVERDUE), config=config) == (Action.ROLLBACK, rule)


def test_same_evidence_promotes_when_it_is_not_broken():
    assert _decision(evidence(BETTER)) == (Action.PROMOTE, "non_inferior")


def test_negative_or_infinite_numbers_are_invalid():
    for column, value in (("reward", -1.0), ("reward", np.inf), ("impressions", np.nan), ("impressions", -2.0)):
        spoiled = getattr(BETTER, column).copy()
        spoiled[0] = value
        assert _judge(evidence(replace(BETTER, **{column: spoiled}))).rule == "invalid_data"
        assert _judge(evidence(BETTER, replace(arm(), **{column: spoiled}))).rule == "invalid_data"


def test_events_of_the_future_are_invalid():
    assert _judge(evidence(BETTER, newest_at=NOW + timedelta(seconds=901))).rule == "invalid_data"
    assert _judge(evidence(BETTER, newest_at=NOW + timedelta(seconds=900))).action is Action.PROMOTE


def test_silence_is_tolerated_as_long_as_allowed():
    assert _judge(evidence(BETTER, newest_at=NOW - timedelta(seconds=900))).action is Action.PROMOTE


def test_a_step_that_has_just_begun_is_not_silent_yet():
    begun = {"step_started_at": NOW - timedelta(seconds=60), "newest_at": None, **NOBODY}
    assert _decision(evidence(**begun)) == (Action.CONTINUE, "too_few_users")
    assert _judge(evidence(**begun), now=NOW + timedelta(seconds=839)).action is Action.CONTINUE
    assert _judge(evidence(**begun), now=NOW + timedelta(seconds=840)).rule == "no_traffic"
    assert _decision(evidence(**begun), now=NOW + timedelta(seconds=841)) == (Action.HOLD, "no_data")


def test_labels_are_given_time_to_mature():
    waiting = evidence(EMPTY, EMPTY, assigned_canary=50, assigned_control=50, newest_at=NOW)
    young = replace(waiting, step_started_at=NOW - timedelta(seconds=2_699))
    assert _decision(young) == (Action.CONTINUE, "too_few_users")
    old = replace(waiting, step_started_at=NOW - timedelta(seconds=2_700))
    assert _decision(old) == (Action.HOLD, "no_traffic")
    assert _decision(replace(young, **OVERDUE)) == (Action.ROLLBACK, "no_traffic")


@pytest.mark.parametrize(("canary", "control"), [(0, 50), (50, 0)])
def test_held_when_one_arm_has_no_traffic(canary, control):
    found = evidence(EMPTY, EMPTY, assigned_canary=canary, assigned_control=control)
    assert _decision(found) == (Action.HOLD, "no_traffic")
    begun = replace(found, step_started_at=NOW - timedelta(seconds=899))
    assert _judge(begun).action is Action.CONTINUE


def test_rolled_back_when_the_canary_is_worse_at_any_step():
    for step in (0, LAST):
        assert _decision(evidence(WORSE), step=step) == (Action.ROLLBACK, "primary_worse")


def test_rolled_back_when_the_canary_alone_earns_nothing():
    assert _decision(evidence(arm(clicks=0))) == (Action.ROLLBACK, "primary_worse")


@pytest.mark.parametrize("field", ["non_finite", "blocked"])
def test_rolled_back_at_the_first_event_that_must_never_be(field):
    rule = {"non_finite": "non_finite_score", "blocked": "blocked_item"}[field]
    few = arm(3, clicks=1)
    found = evidence(replace(few, **{field: 1}), few, newest_at=None)
    assert _decision(found) == (Action.ROLLBACK, rule)
    assert _judge(evidence(few, replace(few, **{field: 1}))).action is Action.CONTINUE


@pytest.mark.parametrize("name", GUARDRAILS, ids="guardrail {}".format)
def test_rolled_back_when_more_users_of_the_canary_meet_a_guardrail(name):
    assert _decision(evidence(arm(flagged={name: 60}))) == (Action.ROLLBACK, f"guardrail:{name}")
    assert _judge(evidence(arm(), arm(flagged={name: 60}))).action is not Action.ROLLBACK


def test_strongest_guardrail_is_named_when_several_alarm():
    assert _judge(evidence(arm(flagged={"slow": 60, "short": 90}))).rule == "guardrail:short"


def test_guardrail_fires_at_ten_events_and_not_at_nine():
    none = dict.fromkeys(("error", "slow", "short", "fallback", "hidden"), 0)
    control = arm(50, clicks=5, flagged=none)
    assert _judge(evidence(arm(50, clicks=5, flagged=none | {"error": 9}), control)).action is Action.CONTINUE
    assert _judge(evidence(arm(50, clicks=5, flagged=none | {"error": 10}), control)).action is Action.ROLLBACK


def test_errors_count_requests_when_users_are_not_flagged():
    flags = {name: np.zeros(50, dtype=bool) for name in ("slow", "short", "fallback", "hidden")}
    canary = arm(50, clicks=5, flags=flags, requests=50, request_errors=20)
    control = arm(50, clicks=5, flags=flags, requests=50, request_errors=0)
    verdict = _judge(evidence(canary, control))
    assert (verdict.action, verdict.rule) == (Action.ROLLBACK, "guardrail:error")
    assert "20 of 50 requests of the canary against 0 of 50 requests of the control" in verdict.words


def test_guardrails_not_agreed_on_are_not_looked_at():
    config = CONFIG.model_copy(update={"guardrails": ("error",)})
    found = _judge(evidence(arm(flagged={"slow": 90})), config=config)
    assert found.action is not Action.ROLLBACK
    assert set(found.e_values) == {"error", "sample_ratio"}


def test_tie_is_a_rollback_when_the_split_is_broken_too():
    assert _judge(evidence(WORSE, assigned_canary=11_000)).rule == "primary_worse"


def test_tie_is_a_rollback_when_the_clock_is_wrong_too():
    found = evidence(WORSE, newest_at=NOW + timedelta(days=1))
    assert _judge(found).rule == "primary_worse"


def test_split_is_broken_at_the_limit_agreed_on():
    doubtful = evidence(assigned_canary=10_000, assigned_control=10_550)
    verdict = _judge(doubtful)
    assert 1 / 0.005 < verdict.e_values["sample_ratio"] < 1 / 0.001
    assert verdict.rule != "sample_ratio"
    assert _judge(doubtful, config=CONFIG.model_copy(update={"srm_alpha": 0.005})).rule == "sample_ratio"


def test_outcomes_are_missed_from_the_minimum_of_users_on():
    assert _judge(evidence(arm(1_000, clicks=9), arm(1_000, clicks=0))).rule == "no_outcomes"
    assert _judge(evidence(arm(999, clicks=9), arm(999, clicks=0))).rule == "too_few_users"


def test_split_that_gives_the_canary_more_users_is_not_taken_for_more_errors():
    canary = arm(60_000, clicks=6_000, flagged=dict.fromkeys(("error", "slow", "short", "fallback", "hidden"), 1_200))
    control = arm(50_000, clicks=5_000, flagged=dict.fromkeys(("error", "slow", "short", "fallback", "hidden"), 1_000))
    assert _decision(evidence(canary, control)) == (Action.HOLD, "sample_ratio")


def test_step_advances_after_its_minimum_time_and_users():
    assert _decision(evidence(), step=0) == (Action.ADVANCE, "step_complete")
    at_minimum = {"step_started_at": NOW - timedelta(seconds=3_600)}
    assert _judge(evidence(**at_minimum), step=0).action is Action.ADVANCE
    assert _judge(evidence(**at_minimum), step=0, now=NOW - timedelta(seconds=1)).action is Action.CONTINUE
    assert _judge(evidence(arm(1_000, clicks=99), arm(1_000, clicks=100)), step=0).action is Action.ADVANCE
    few = _decision(evidence(arm(999, clicks=99), arm(1_000, clicks=100)), step=0)
    assert few == (Action.CONTINUE, "too_few_users")


def test_only_the_last_step_promotes():
    assert _judge(evidence(BETTER), step=0).action is Action.ADVANCE
    assert _judge(evidence(BETTER), step=LAST).action is Action.PROMOTE


def test_promotion_waits_for_the_minimum_time():
    early = evidence(BETTER, step_started_at=NOW - timedelta(seconds=3_599))
    assert _decision(early) == (Action.CONTINUE, "undecided")


def test_equal_model_is_promoted_only_when_the_lower_bound_clears_the_margin():
    assert _decision(evidence()) == (Action.CONTINUE, "undecided")
    many = arm(200_000, clicks=20_000)
    verdict = _judge(evidence(many, many))
    assert verdict.action is Action.PROMOTE
    assert verdict.relative_lower > -0.05
    strict = _judge(evidence(many, many), config=CONFIG.model_copy(update={"delta": 0.01}))
    assert strict.action is Action.CONTINUE


@pytest.mark.parametrize(("policy", "action"), [("hold", Action.HOLD), ("rollback", Action.ROLLBACK)])
def test_policy_decides_when_inconclusive_at_the_deadline(policy, action):
    config = CONFIG.model_copy(update={"on_inconclusive": policy})
    assert _decision(evidence(**OVERDUE), config=config) == (action, "inconclusive_at_deadline")
    before = evidence(deadline_at=NOW + timedelta(seconds=1))
    assert _judge(before, config=config).action is Action.CONTINUE


def test_promoted_at_the_deadline_when_the_evidence_is_conclusive():
    assert _judge(evidence(BETTER, **OVERDUE)).action is Action.PROMOTE


def test_verdict_holds_the_numbers_of_the_look():
    verdict = _judge(evidence(WORSE))
    assert (verdict.users_canary, verdict.users_control, verdict.step) == (10_000, 10_000, LAST)
    assert (verdict.ratio_canary, verdict.ratio_control) == (0.05, 0.1)
    assert verdict.estimate == pytest.approx(-0.05)
    assert verdict.relative == pytest.approx(-0.5)
    assert verdict.lower < verdict.estimate < verdict.upper < 0
    assert verdict.relative_upper == pytest.approx(verdict.upper / 0.1)
    assert verdict.relative_lower == pytest.approx(verdict.lower / 0.1)
    assert set(verdict.e_values) == {"error", "slow", "short", "fallback", "hidden", "sample_ratio"}
    assert verdict.e_values["error"] < 1
    assert verdict.as_record()["action"] == "rollback"


def test_e_values_stay_finite_when_the_evidence_is_overwhelming():
    flagged = arm(flagged={"error": 9_000})
    assert _judge(evidence(flagged)).e_values["error"] == pytest.approx(np.exp(690))


def test_numbers_are_none_when_there_is_nothing_to_estimate():
    verdict = _judge(evidence(**NOBODY))
    assert verdict.estimate is verdict.lower is verdict.relative is verdict.ratio_canary is None
    no_control_clicks = _judge(evidence(BETTER, arm(clicks=0)))
    assert no_control_clicks.estimate == pytest.approx(0.2)
    assert no_control_clicks.relative is None


def test_words_say_the_numbers_the_rule_and_what_comes_next():
    words = _judge(evidence(WORSE)).words
    assert words == (
        "Rollback by rule primary_worse: the upper bound is below 0; 'clicked' per impression is 0.0500 on the canary "
        "and 0.1000 on the control (10,000 and 10,000 users with matured impressions), -50.0%, at any number of looks "
        f"between {_judge(evidence(WORSE)).relative_lower:+.1%} and {_judge(evidence(WORSE)).relative_upper:+.1%}; "
        "next, the champion serves everyone."
    )


@pytest.mark.parametrize(
    ("found", "step", "phrase"),
    [
        (evidence(BETTER), LAST, "the lower bound is above -5.0%"),
        (evidence(BETTER), LAST, "next, the challenger becomes champion."),
        (evidence(), 0, "next, the canary grows from 1% to 50%."),
        (evidence(), LAST, "the canary stays at 50%: the lower bound must rise above -5.0% by 2026-11-22 12:00 UTC."),
        (evidence(arm(5, clicks=1), arm(5, clicks=1)), 0, "5 users in the smaller arm are below the minimum of 1,000"),
        (evidence(arm(5, clicks=1), arm(5, clicks=1)), 0, "which is not read yet"),
        (evidence(arm(5, clicks=1), arm(5, clicks=1)), 0, "until the step is complete, or until 2026-11-22 12:00 UTC"),
        (evidence(BETTER, step_started_at=NOW), LAST, "the canary stays at 50% until 2026-11-21 13:00 UTC at least."),
        (evidence(**NOBODY), LAST, "too little to estimate 'clicked' per impression"),
        (evidence(BETTER, newest_at=None), LAST, "is rolled back at 2026-11-22 12:00 UTC unless this ends."),
        (evidence(**OVERDUE), LAST, "next, a person decides."),
        (evidence(BETTER, assigned_canary=11_000), LAST, "11,000 users on the canary and 10,000 on the control, 52.4%"),
        (evidence(arm(flagged={"slow": 60})), LAST, '"slow" was met by 60 of 10,000 users of the canary against 10 of'),
        (evidence(arm(flagged={"slow": 9_000})), LAST, "(e-value 1e"),
    ],
)
def test_words_hold_the_phrase_when_decided(found, step, phrase):
    assert phrase in _judge(found, step=step).words


def test_words_say_that_it_is_a_demonstration_when_fewer_users_suffice():
    config = CONFIG.model_copy(update={"minimum_users": 300})
    verdict = _judge(evidence(), config=config)
    assert verdict.is_demonstration
    assert "a demonstration, since 300 users an arm suffice here and 1,000 are needed" in verdict.words
    assert not _judge(evidence()).is_demonstration
    assert "demonstration" not in _judge(evidence()).words


def test_tolerance_is_named_in_the_words():
    config = CONFIG.model_copy(update={"tolerance": 0.02})
    assert "the upper bound is below -2.0%" in _judge(evidence(WORSE), config=config).words


@pytest.mark.parametrize("step", [-1, 2])
def test_refused_when_there_is_no_such_step(step):
    with pytest.raises(ValueError, match=f"step {step} is not one of the rollout's 2"):
        _judge(evidence(), step=step)


def test_refused_when_now_has_no_time_zone():
    with pytest.raises(ValueError, match="no time zone"):
        _judge(evidence(), now=datetime(2026, 11, 21))


APPROVED = CONFIG.model_copy(update={"requires_approval": True})


def test_promotion_waits_for_a_person_when_approval_is_required():
    verdict = _judge(evidence(BETTER), config=APPROVED)
    assert (verdict.action, verdict.rule) == (Action.HOLD, "awaiting_approval")
    assert "`everfeed canary promote` makes it champion" in verdict.words
    assert _decision(evidence(BETTER)) == (Action.PROMOTE, "non_inferior")


def test_steps_before_the_last_need_no_approval():
    assert _decision(evidence(BETTER), step=0, config=APPROVED) == (Action.ADVANCE, "step_complete")


def test_worse_challenger_is_rolled_back_when_approval_is_required():
    assert _decision(evidence(WORSE), config=APPROVED) == (Action.ROLLBACK, "primary_worse")


@pytest.mark.parametrize(("policy", "action"), [("hold", Action.HOLD), ("rollback", Action.ROLLBACK)])
def test_policy_decides_when_nobody_approved_in_time(policy, action):
    config = APPROVED.model_copy(update={"on_inconclusive": policy})
    assert _decision(evidence(BETTER, **OVERDUE), config=config) == (action, "not_approved")
    end = "is rolled back" if policy == "rollback" else "is held for a person"
    assert end in _judge(evidence(BETTER), config=config).words
