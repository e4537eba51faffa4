"""A rollout that a person must approve: what would be promoted waits, and is rolled back if it turns bad."""

from datetime import UTC, datetime

import pytest

from flows.canary import judge_rollout, look
from flows.references import Rolled
from flows.wiring import Platform
from infra.settings import Settings
from recmodels.assignment import Arm
from tests.flows.rolling import CHALLENGER, CHAMPION, CONFIG, crowned, start, traffic

APPROVED = CONFIG.model_copy(update={"requires_approval": True})


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    return crowned(home)


def _wait_for_approval(platform: Platform, *, policy: str = "hold") -> Rolled:
    start(platform, APPROVED.model_copy(update={"on_inconclusive": policy}))
    traffic(platform, arm=Arm.CANARY, users=600, clicks_of_4=3)
    traffic(platform, arm=Arm.CONTROL, users=600, clicks_of_4=1)
    rolled = look()
    assert rolled is not None
    return rolled


def test_challenger_waits_for_a_person_when_the_judge_would_promote_it(rollouts: Platform) -> None:
    waiting = _wait_for_approval(rollouts)
    assert (waiting.state, waiting.verdict, waiting.rule) == ("held", "hold", "awaiting_approval")
    assert "`everfeed canary promote`" in waiting.words
    again = look()
    assert again is not None
    assert (again.state, again.looks) == ("held", 2)
    champion = rollouts.rollouts.champion()
    assert champion is not None
    assert champion.digest == CHAMPION


def test_challenger_is_champion_when_a_person_approves(rollouts: Platform) -> None:
    waiting = rollouts.rollouts.rollout(_wait_for_approval(rollouts).rollout_id)
    rollouts.rollouts.promote(
        waiting.rollout_id, fencing=waiting.fencing, now=datetime.now(UTC), by="anna", reason="approved"
    )
    assert look() is None
    champion = rollouts.rollouts.champion()
    assert champion is not None
    assert (champion.digest, champion.by) == (CHALLENGER, "anna")
    assert rollouts.registry.aliases() == {"champion": 2}


def test_challenger_is_rolled_back_when_it_turns_bad_while_it_waits(rollouts: Platform) -> None:
    _wait_for_approval(rollouts)
    traffic(rollouts, arm=Arm.CONTROL, users=3000, clicks_of_4=4, prefix="later")
    traffic(rollouts, arm=Arm.CANARY, users=3000, clicks_of_4=0, prefix="later")
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.rule) == ("rolled_back", "primary_worse")


@pytest.mark.parametrize(("policy", "state"), [("rollback", "rolled_back"), ("hold", "held")])
def test_policy_decides_when_nobody_approved_before_the_deadline(rollouts: Platform, policy: str, state: str) -> None:
    waiting = _wait_for_approval(rollouts, policy=policy)
    rolled = judge_rollout(waiting.rollout_id, is_last=True)
    assert (rolled.state, rolled.rule) == (state, "not_approved")
