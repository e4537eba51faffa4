"""A look at a rollout: the judge's word is done, once, and MLflow's aliases follow the rollouts table."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flows.canary import judge_rollout, look, reconcile
from flows.wiring import Platform, connect
from infra.rollouts import ModelReference
from infra.settings import Settings
from recmodels.assignment import Arm
from recmodels.errors import StoreError
from tests.flows.homes import api
from tests.flows.rolling import CHALLENGER, CHAMPION, CONFIG, crowned, start, traffic


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    """The stores of a home in which version 1 serves and version 2 is registered."""
    return crowned(home)


def _aliases(platform: Platform) -> dict[str, int]:
    return platform.registry.aliases()


def test_look_does_nothing_when_no_rollout_is_active(rollouts: Platform) -> None:
    assert look() is None
    assert rollouts.rollouts.rollouts() == []


def test_a_rollout_is_named_after_its_try_when_it_is_started_again(rollouts: Platform) -> None:
    first = start(rollouts)
    assert start(rollouts) == first
    assert _aliases(rollouts) == {"champion": 1, "challenger": 2}
    rollouts.rollouts.roll_back(first, fencing=None, now=datetime.now(UTC), by="a person", reason="not today")
    assert start(rollouts) == first.removesuffix("1") + "2"


def test_challenger_is_promoted_when_it_is_clearly_not_worse(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    traffic(rollouts, arm=Arm.CANARY, users=600, clicks_of_4=3)
    traffic(rollouts, arm=Arm.CONTROL, users=600, clicks_of_4=1)
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.verdict, rolled.rule) == ("promoted", "promote", "non_inferior")
    assert (rolled.users_canary, rolled.users_control) == (600, 600)
    assert rolled.estimate == pytest.approx(3 / 8 - 1 / 8)
    champion = rollouts.rollouts.champion()
    assert champion is not None
    assert (champion.digest, champion.rollout_id) == (CHALLENGER, rollout_id)
    assert _aliases(rollouts) == {"champion": 2}
    tags = {known.version: known.tags for known in rollouts.registry.versions()}
    assert (tags[1]["state"], tags[2]["state"]) == ("former champion", "champion")
    assert rolled.words in tags[2]["why"]
    pages = [a["data"] or "" for a in api(rollouts.settings, "artifacts/filter", {"sort": "CREATED_DESC"})]
    assert any(rollout_id in page and rolled.words in page for page in pages)
    assert look() is None


def test_challenger_is_rolled_back_when_it_is_worse(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    traffic(rollouts, arm=Arm.CANARY, users=600, clicks_of_4=1)
    traffic(rollouts, arm=Arm.CONTROL, users=600, clicks_of_4=3)
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.rule) == ("rolled_back", "primary_worse")
    assert rollouts.rollouts.serving().champion == ModelReference(CHAMPION, 1)
    assert rollouts.rollouts.serving().challenger is None
    assert _aliases(rollouts) == {"champion": 1}
    assert rollouts.rollouts.transitions(rollout_id)[-1].reason == rolled.words


def test_challenger_is_rolled_back_at_once_when_one_score_is_not_finite(rollouts: Platform) -> None:
    start(rollouts)
    served = traffic(rollouts, arm=Arm.CANARY, users=1, clicks_of_4=0)
    bad = replace(served[0], request_id="bad", is_non_finite=True, is_fallback=True)
    rollouts.events.append_requests([bad])
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.rule) == ("rolled_back", "non_finite_score")


def test_rollout_is_promoted_only_at_the_last_step_when_all_is_well(rollouts: Platform) -> None:
    start(rollouts, CONFIG.model_copy(update={"steps": (0.1, 0.5)}))
    for arm, clicks in ((Arm.CANARY, 3), (Arm.CONTROL, 1)):
        traffic(rollouts, arm=arm, users=600, clicks_of_4=clicks)
    first = look()
    assert first is not None
    assert (first.state, first.verdict) == ("running", "advance")
    active = rollouts.rollouts.active()
    assert active is not None
    assert (active.step, active.share) == (1, 0.5)
    second = look()
    assert second is not None
    assert (second.state, second.looks) == ("promoted", 2)


def _held(platform: Platform) -> str:
    """Start a rollout of which nothing but impressions has arrived, and let the controller hold it."""
    rollout_id = start(platform, CONFIG.model_copy(update={"minimum_users": 50}))
    for arm in (Arm.CANARY, Arm.CONTROL):
        traffic(platform, arm=arm, users=60, clicks_of_4=0)
    held = look()
    assert held is not None
    assert (held.state, held.verdict, held.rule) == ("held", "hold", "no_outcomes")
    return rollout_id


def _clicks_arrive(platform: Platform) -> None:
    for arm in (Arm.CANARY, Arm.CONTROL):
        traffic(platform, arm=arm, users=10, clicks_of_4=1, prefix="later")


def _states(platform: Platform, rollout_id: str) -> list[str]:
    return [str(transition.state) for transition in platform.rollouts.transitions(rollout_id)]


def test_rollout_that_the_controller_held_goes_on_when_outcomes_arrive(rollouts: Platform) -> None:
    rollout_id = _held(rollouts)
    look()
    assert _states(rollouts, rollout_id) == ["running", "held"]
    _clicks_arrive(rollouts)
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.verdict) == ("running", "continue")
    assert _states(rollouts, rollout_id) == ["running", "held", "running"]
    assert rollouts.rollouts.rollout(rollout_id).deadline_at is not None


def test_rollout_stays_held_when_a_person_held_it(rollouts: Platform) -> None:
    rollout_id = start(rollouts, CONFIG.model_copy(update={"minimum_users": 50}))
    fencing = rollouts.rollouts.rollout(rollout_id).fencing
    rollouts.rollouts.hold(rollout_id, fencing=fencing, now=datetime.now(UTC), by="anna", reason="a holiday")
    _clicks_arrive(rollouts)
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.verdict) == ("held", "continue")
    assert _states(rollouts, rollout_id) == ["running", "held"]


def test_rollout_stays_held_when_a_person_held_it_after_the_controller(rollouts: Platform) -> None:
    rollout_id = _held(rollouts)
    fencing = rollouts.rollouts.rollout(rollout_id).fencing
    rollouts.rollouts.hold(rollout_id, fencing=fencing, now=datetime.now(UTC), by="anna", reason="a holiday")
    _clicks_arrive(rollouts)
    rolled = look()
    assert rolled is not None
    assert rolled.state == "held"


@pytest.mark.parametrize(("policy", "state"), [("rollback", "rolled_back"), ("hold", "held")])
def test_inconclusive_rollout_ends_by_policy_when_no_more_evidence_will_come(
    rollouts: Platform, policy: str, state: str
) -> None:
    rollout_id = start(rollouts, CONFIG.model_copy(update={"on_inconclusive": policy}))
    _clicks_arrive(rollouts)
    assert judge_rollout(rollout_id).state == "running"
    rolled = judge_rollout(rollout_id, is_last=True)
    assert (rolled.state, rolled.rule, rolled.looks) == (state, "inconclusive_at_deadline", 2)


def test_look_puts_aliases_right_when_they_were_changed_elsewhere(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    rollouts.rollouts.roll_back(rollout_id, fencing=None, now=datetime.now(UTC), by="a person", reason="abort")
    assert _aliases(rollouts) == {"champion": 1, "challenger": 2}
    assert look() is None
    assert _aliases(rollouts) == {"champion": 1}
    rollouts.tracker.client.set_registered_model_alias("everfeed", "champion", "2")
    assert look() is None
    assert _aliases(rollouts) == {"champion": 1}


def test_a_stale_controller_is_refused_when_a_person_aborted_meanwhile(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    rollouts.rollouts.roll_back(rollout_id, fencing=None, now=datetime.now(UTC), by="a person", reason="abort")
    with pytest.raises(StoreError, match="rolled_back"):
        judge_rollout(rollout_id)


def test_reconciling_is_refused_when_nobody_serves(home: Settings) -> None:
    with pytest.raises(StoreError, match="Release a model first"):
        reconcile(connect(home))
