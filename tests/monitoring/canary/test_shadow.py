"""What the shadow stage says of a challenger that nobody has met."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate

from monitoring.canary import Action, ShadowConfig, ShadowEvidence, judge_shadow
from monitoring.canary.shadow import share_log_e
from monitoring.canary.verdict import Verdict

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONFIG = ShadowConfig(minimum_requests=500, minimum_seconds=600, deadline_seconds=86_400, stale_seconds=900)
SOUND = ShadowEvidence(
    requests=1000,
    overlap_mean=0.3,
    distinct_items=385,
    champion_distinct_items=581,
    median_seconds=0.002,
    p99_seconds=0.008,
    champion_p99_seconds=0.004,
    first_at=STARTED,
    newest_at=STARTED + timedelta(seconds=900),
)


def _judge(evidence: ShadowEvidence, *, seconds: float = 901, config: ShadowConfig = CONFIG) -> Verdict:
    return judge_shadow(
        evidence,
        config=config,
        now=STARTED + timedelta(seconds=seconds),
        started_at=STARTED,
        deadline_at=STARTED + timedelta(seconds=config.deadline_seconds),
    )


def test_challenger_advances_when_nothing_speaks_against_it() -> None:
    verdict = _judge(SOUND)
    assert (verdict.action, verdict.rule, verdict.step) == (Action.ADVANCE, "shadow_complete", -1)
    assert (verdict.users_canary, verdict.users_control, verdict.estimate) == (0, 0, None)
    assert set(verdict.e_values) == {"shadow_error", "shadow_late", "shadow_short"}
    assert "1,000 requests" in verdict.words
    assert "its first users" in verdict.words


@pytest.mark.parametrize(
    ("change", "seconds", "rule"),
    [
        ({"requests": 499}, 901, "shadow_too_few_requests"),
        ({}, 599, "shadow_undecided"),
        ({"requests": 0, "newest_at": None}, 900, "shadow_too_few_requests"),
    ],
)
def test_stage_goes_on_when_it_is_too_young_to_tell(change: dict[str, object], seconds: float, rule: str) -> None:
    evidence = replace(SOUND, newest_at=STARTED + timedelta(seconds=seconds - 1))
    verdict = _judge(replace(evidence, **change), seconds=seconds)
    assert (verdict.action, verdict.rule) == (Action.CONTINUE, rule)


@pytest.mark.parametrize("requests", [1, 1000])
@pytest.mark.parametrize(("field", "rule"), [("non_finite", "shadow_non_finite"), ("blocked", "shadow_blocked")])
def test_challenger_is_rolled_back_at_once_when_something_may_never_be(field: str, rule: str, requests: int) -> None:
    verdict = _judge(replace(SOUND, requests=requests, **{field: 1}))
    assert (verdict.action, verdict.rule) == (Action.ROLLBACK, rule)
    assert "nobody has met the challenger" in verdict.words


@pytest.mark.parametrize(
    ("field", "rule"), [("errors", "shadow_error"), ("late", "shadow_slow"), ("short", "shadow_short")]
)
def test_challenger_is_rolled_back_when_a_share_is_surely_above_its_limit(field: str, rule: str) -> None:
    verdict = _judge(replace(SOUND, **{field: 60}))
    assert (verdict.action, verdict.rule) == (Action.ROLLBACK, rule)
    assert "60 of 1,000" in verdict.words
    assert _judge(replace(SOUND, **{field: 12})).action is Action.ADVANCE


def test_two_requests_suffice_when_every_one_of_them_fails() -> None:
    assert _judge(ShadowEvidence(requests=1, errors=1, newest_at=STARTED), seconds=1).action is Action.CONTINUE
    assert _judge(ShadowEvidence(requests=2, errors=2, newest_at=STARTED), seconds=1).rule == "shadow_error"


def test_strongest_of_two_shares_is_named_when_both_are_above_their_limits() -> None:
    assert _judge(replace(SOUND, errors=80, short=70)).rule == "shadow_error"
    assert _judge(replace(SOUND, errors=70, short=80)).rule == "shadow_short"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"p99_seconds": 0.101}, "shadow_slow"),
        ({"p99_seconds": math.nan}, "shadow_slow"),
        ({"median_seconds": 0.15, "p99_seconds": 0.19, "champion_p99_seconds": 0.1}, "shadow_slow"),
        ({"distinct_items": 29}, "shadow_coverage"),
        ({"overlap_mean": 0.049}, "shadow_overlap"),
    ],
)
def test_challenger_stays_unseen_when_a_plain_threshold_is_crossed(change: dict[str, float], rule: str) -> None:
    evidence = replace(SOUND, **change)
    held = _judge(evidence)
    assert (held.action, held.rule) == (Action.HOLD, rule)
    late = _judge(replace(evidence, newest_at=STARTED + timedelta(days=1)), seconds=86_400)
    assert (late.action, late.rule) == (Action.ROLLBACK, rule)
    assert "the deadline has come" in late.words
    assert _judge(replace(evidence, requests=499)).action is Action.CONTINUE


@pytest.mark.parametrize(
    "change",
    [
        {"p99_seconds": 0.1},  # the floor
        {"p99_seconds": 0.2, "champion_p99_seconds": 0.1},  # twice the champion's
        {"distinct_items": 30},  # 0.05 of 581 is 29.05
        {"overlap_mean": 0.05},
    ],
)
def test_challenger_advances_when_it_is_at_a_threshold(change: dict[str, float]) -> None:
    assert _judge(replace(SOUND, **change)).action is Action.ADVANCE


# popularity, item_knn, EASE and SASRec of ML-100K beside each other on 1000 requests: overlap, and distinct items
PAIRS = [
    (0.148, 60, 385),
    (0.302, 581, 385),
    (0.353, 312, 385),
    (0.148, 385, 60),
    (0.180, 581, 60),
    (0.281, 312, 60),
    (0.302, 385, 581),
    (0.180, 60, 581),
    (0.495, 312, 581),
    (0.353, 385, 312),
    (0.281, 60, 312),
    (0.495, 581, 312),
]


@pytest.mark.parametrize(("overlap", "items", "champion_items"), PAIRS)
def test_no_sound_model_is_stopped_when_it_stands_beside_another_one(
    overlap: float, items: int, champion_items: int
) -> None:
    evidence = replace(SOUND, overlap_mean=overlap, distinct_items=items, champion_distinct_items=champion_items)
    assert _judge(evidence).action is Action.ADVANCE


@pytest.mark.parametrize("overlap", [0.017, 0.027, 0.031])
def test_swapped_ids_are_stopped_when_they_stand_beside_any_model(overlap: float) -> None:
    assert _judge(replace(SOUND, overlap_mean=overlap)).rule == "shadow_overlap"


def test_stage_holds_and_then_rolls_back_when_no_request_comes() -> None:
    nothing = ShadowEvidence(requests=0)
    assert _judge(nothing, seconds=900).action is Action.CONTINUE
    held = _judge(nothing, seconds=901)
    assert (held.action, held.rule) == (Action.HOLD, "shadow_no_data")
    over = _judge(nothing, seconds=86_400)
    assert (over.action, over.rule) == (Action.ROLLBACK, "shadow_no_data")


def test_stage_holds_when_requests_stopped_coming() -> None:
    stale = _judge(replace(SOUND, newest_at=STARTED + timedelta(seconds=900)), seconds=1801)
    assert (stale.action, stale.rule) == (Action.HOLD, "shadow_stale_data")
    assert _judge(replace(SOUND, newest_at=STARTED + timedelta(seconds=900)), seconds=1800).action is Action.ADVANCE


def test_stage_holds_when_requests_come_from_the_future() -> None:
    assert _judge(replace(SOUND, newest_at=STARTED + timedelta(days=1)), seconds=901).rule == "shadow_invalid_data"


def test_challenger_is_rolled_back_when_the_deadline_comes_before_enough_requests() -> None:
    few = replace(SOUND, requests=499, newest_at=STARTED + timedelta(days=1))
    verdict = _judge(few, seconds=86_400)
    assert (verdict.action, verdict.rule) == (Action.ROLLBACK, "shadow_inconclusive")
    enough = replace(SOUND, requests=500, newest_at=STARTED + timedelta(days=1))
    assert _judge(enough, seconds=86_400).action is Action.ADVANCE


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        judge_shadow(SOUND, config=CONFIG, now=datetime(2026, 3, 1), started_at=STARTED, deadline_at=STARTED)


@pytest.mark.parametrize(("events", "requests"), [(0, 5), (1, 1), (2, 2), (3, 40), (10, 200)])
def test_e_value_is_the_mixture_of_likelihood_ratios_when_integrated_by_quadrature(events: int, requests: int) -> None:
    limit = 0.01

    def weighted(p: float) -> float:
        prior = 3 * p**2 / (1 - limit**3)
        return prior * (p / limit) ** events * ((1 - p) / (1 - limit)) ** (requests - events)

    expected, _ = integrate.quad(weighted, limit, 1, limit=200, points=[0.05, 0.2])
    assert math.exp(share_log_e(events, requests, limit=limit)) == pytest.approx(expected, rel=1e-6)


def test_e_value_is_exact_when_every_request_fails() -> None:
    # the integral of 3 p^2 (p / c)^2 from c to 1 over 1 - c^3, with c = 1/100
    c = Fraction(1, 100)
    expected = Fraction(3, 5) * (1 - c**5) / c**2 / (1 - c**3)
    assert math.exp(share_log_e(2, 2, limit=0.01)) == pytest.approx(float(expected), rel=1e-9)


def test_a_share_at_its_limit_is_rarely_rolled_back_when_it_is_looked_at_after_every_request() -> None:
    rng = np.random.default_rng(3)
    events = (rng.random((200, 2000)) < 0.01).cumsum(axis=1)
    looks = np.arange(50, 2001, 50)
    alarmed = [any(share_log_e(int(run[n - 1]), int(n), limit=0.01) >= math.log(20) for n in looks) for run in events]
    assert np.mean(alarmed) <= 0.05  # at alpha 1/20, over 200 runs and 40 looks each


@pytest.mark.parametrize("field", [{"alpha": 0.0}, {"error_share": 1.0}, {"minimum_overlap": 1.1}, {"unknown": 1}])
def test_terms_that_cannot_be_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        ShadowConfig(**field)
