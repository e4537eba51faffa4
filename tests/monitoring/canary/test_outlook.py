"""How near each rule is to firing."""

import pytest

from monitoring.canary import Action, CanaryConfig, Verdict
from monitoring.canary.outlook import next_to_fire, outlook

CONFIG = CanaryConfig(guardrail_alpha=0.01, srm_alpha=0.001, delta=0.05, tolerance=0.0)


def _verdict(**change: object) -> Verdict:
    fields: dict[str, object] = {
        "action": Action.CONTINUE,
        "rule": "undecided",
        "words": "",
        "users_canary": 2000,
        "users_control": 2000,
        "relative": -0.01,
        "relative_lower": -0.09,
        "relative_upper": 0.03,
        "e_values": {"slow": 10.0, "error": 0.5, "sample_ratio": 1.0},
    }
    return Verdict(**(fields | change))


def test_nearness_is_a_share_of_the_way_to_each_limit() -> None:
    found = {limit.rule: limit for limit in outlook(_verdict(), CONFIG)}
    assert found["guardrail:slow"].nearness == pytest.approx(1 / 2)  # log 10 over log 100
    assert found["guardrail:slow"].limit == 100
    assert found["guardrail:error"].nearness == 0
    assert found["sample_ratio"].limit == 1000
    assert found["primary_worse"].nearness == pytest.approx(1 / 4)  # 1 of the 4 points from estimate to upper bound
    assert found["non_inferior"].nearness == pytest.approx(1 / 2)  # 4 of the 8 points from lower bound to estimate
    assert found["non_inferior"].is_good


def test_nearest_is_first_and_the_good_rule_is_not_what_fires_next() -> None:
    limits = outlook(_verdict(relative=0.02, relative_lower=-0.04), CONFIG)
    assert limits[0].rule == "non_inferior"
    assert limits[0].nearness == 1
    nearest = next_to_fire(limits)
    assert nearest is not None
    assert nearest.rule == "guardrail:slow"


def test_nothing_is_next_when_nothing_speaks_against_the_challenger() -> None:
    quiet = _verdict(relative=0.02, e_values={"slow": 0.2, "sample_ratio": 0.1})
    assert next_to_fire(outlook(quiet, CONFIG)) is None


def test_bounds_have_no_nearness_when_they_could_not_be_computed() -> None:
    found = {v.rule: v for v in outlook(_verdict(relative=None, relative_lower=None, relative_upper=None), CONFIG)}
    assert (found["primary_worse"].value, found["primary_worse"].nearness) == (None, 0)
    assert (found["non_inferior"].value, found["non_inferior"].nearness) == (None, 0)


def test_shadow_shares_have_their_own_limit_when_the_rollout_is_in_that_stage() -> None:
    verdict = _verdict(step=-1, e_values={"shadow_error": 10.0}, relative=None)
    (only,) = outlook(verdict, CONFIG)
    assert (only.rule, only.limit) == ("shadow_error", pytest.approx(1000))
    assert only.nearness == pytest.approx(1 / 3)
