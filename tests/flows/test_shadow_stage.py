"""A rollout in its shadow stage: judged by what the challenger answered unseen, and let out or not."""

from datetime import UTC, datetime

import pytest

from flows.canary import judge_rollout, look
from flows.references import Rolled
from flows.wiring import Platform
from infra.settings import Settings
from monitoring.canary import ShadowConfig
from tests.flows.rolling import CONFIG, crowned, start, unseen

SHADOW = ShadowConfig(minimum_requests=50, minimum_seconds=0, deadline_seconds=3600)
UNSEEN = CONFIG.model_copy(update={"shadow": SHADOW, "steps": (0.01, 0.5)})


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    platform = crowned(home)
    start(platform, UNSEEN)
    return platform


def _look() -> Rolled:
    rolled = look()
    assert rolled is not None
    return rolled


def test_rollout_begins_unseen_with_the_deadline_of_that_stage(rollouts: Platform) -> None:
    active = rollouts.rollouts.active()
    assert active is not None
    assert (active.state, active.step, active.share) == ("shadow", -1, 0.0)
    assert active.deadline_at is not None
    assert (active.deadline_at - active.created_at).total_seconds() == 3600
    serving = rollouts.rollouts.serving()
    assert serving.challenger == active.challenger
    assert (serving.share, serving.step) == (0.0, -1)


def test_challenger_goes_to_the_first_step_when_it_answered_well_unseen(rollouts: Platform) -> None:
    unseen(rollouts, requests=49)
    assert (_look().state, _look().rule) == ("shadow", "shadow_too_few_requests")
    unseen(rollouts, requests=11, prefix="more")
    rolled = _look()
    assert (rolled.state, rolled.verdict, rolled.rule) == ("running", "advance", "shadow_complete")
    active = rollouts.rollouts.active()
    assert active is not None
    assert (active.step, active.share) == (0, 0.01)
    *_, advanced = rollouts.rollouts.transitions(active.rollout_id)
    assert (advanced.state, advanced.reason) == ("running", rolled.words)
    verdicts = rollouts.rollouts.verdicts(active.rollout_id)
    assert [(verdict.step, verdict.rule) for verdict in verdicts][-1] == (-1, "shadow_complete")
    assert active.deadline_at is not None
    assert (active.deadline_at - active.step_started_at).total_seconds() == UNSEEN.deadline_seconds


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"is_non_finite": True}, "shadow_non_finite"),
        ({"num_blocked": 1}, "shadow_blocked"),
        ({"is_error": True, "item_ids": ()}, "shadow_error"),
        ({"item_ids": ("i1",)}, "shadow_short"),
    ],
)
def test_challenger_is_rolled_back_before_anybody_meets_it_when_it_answers_badly(
    rollouts: Platform, change: dict[str, object], rule: str
) -> None:
    unseen(rollouts, requests=60, **change)
    rolled = _look()
    assert (rolled.state, rolled.rule) == ("rolled_back", rule)
    assert [transition.share for transition in rollouts.rollouts.transitions(rolled.rollout_id)] == [0.0, 0.0]
    assert rollouts.rollouts.serving().challenger is None


def test_stage_stays_open_to_requests_when_the_judge_holds_and_ends_at_the_deadline(rollouts: Platform) -> None:
    unseen(rollouts, requests=60, overlap=0.01)
    held = _look()
    assert (held.state, held.verdict, held.rule) == ("shadow", "hold", "shadow_overlap")
    assert rollouts.rollouts.serving().step == -1
    ended = judge_rollout(held.rollout_id, is_last=True)
    assert (ended.state, ended.rule) == ("rolled_back", "shadow_overlap")


def test_a_person_may_let_the_challenger_out_when_the_judge_holds_it(rollouts: Platform) -> None:
    unseen(rollouts, requests=60, overlap=0.01)
    held = rollouts.rollouts.rollout(_look().rollout_id)
    after = rollouts.rollouts.advance(
        held.rollout_id, fencing=held.fencing, now=datetime.now(UTC), by="anna", reason="another taste on purpose"
    )
    assert (after.state, after.share) == ("running", 0.01)


def test_challenger_stays_unseen_when_a_person_holds_it(rollouts: Platform) -> None:
    active = rollouts.rollouts.active()
    assert active is not None
    rollouts.rollouts.hold(
        active.rollout_id, fencing=active.fencing, now=datetime.now(UTC), by="anna", reason="a holiday"
    )
    unseen(rollouts, requests=60)
    rolled = _look()
    assert (rolled.state, rolled.verdict) == ("held", "advance")
    assert rollouts.rollouts.serving().share == 0.0
