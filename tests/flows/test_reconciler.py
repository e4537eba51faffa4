"""What a look leaves behind: a page and a tag for each end, whoever made it, aliases put back, the weight kept at 0."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flows.canary import look
from flows.reconciler import insist_on_zero, settle
from flows.wiring import Platform
from infra.rollout_traffic import SETTLING
from infra.settings import Settings
from recmodels.assignment import Arm
from tests.flows.homes import api
from tests.flows.rolling import crowned, start, traffic


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    return crowned(home)


def _tags(platform: Platform, version: int) -> dict[str, str]:
    return next(dict(known.tags) for known in platform.registry.versions() if known.version == version)


def _pages(platform: Platform, prefix: str) -> list[str]:
    """Return the pages of a key, every version of them."""
    found = api(platform.settings, "artifacts/filter", {"artifacts": {"key": {"like_": f"{prefix}%"}}})
    champion = platform.rollouts.history()[0]  # the server keeps the pages of other tests, too
    return [a["data"] for a in found if datetime.fromisoformat(a["created"]) >= champion.since]


def _decide(platform: Platform, rollout_id: str, deed: str, *, reason: str) -> None:
    """Let a person on the command line decide, outside every flow."""
    rollout = platform.rollouts.rollout(rollout_id)
    act = platform.rollouts.promote if deed == "promote" else platform.rollouts.roll_back
    act(rollout_id, fencing=rollout.fencing, now=datetime.now(UTC), by="anna", reason=reason)


@pytest.mark.parametrize(("deed", "state"), [("promote", "promoted"), ("abort", "rolled_back")])
def test_an_end_has_its_page_and_its_tag_once_when_a_person_made_it_outside_a_flow(
    rollouts: Platform, deed: str, state: str
) -> None:
    rollout_id = start(rollouts)
    _decide(rollouts, rollout_id, deed, reason="seen enough")
    assert look() is None
    assert look() is None
    (page,) = _pages(rollouts, f"rollout-{rollout_id.replace('_', '-')}")
    assert f"# {rollout_id}: {state.replace('_', ' ')}" in page
    assert "seen enough" in page
    assert "| by | anna |" in page
    assert _tags(rollouts, 2)[f"rollout.{rollout_id}.{state}"].endswith("by anna: seen enough")
    assert _tags(rollouts, 2)["why"] == "seen enough"
    assert rollouts.registry.aliases() == {"champion": 2 if deed == "promote" else 1}
    page = rollouts.tracker.client.get_model_version("everfeed", "2").description
    room = rollouts.settings.console_url
    assert f"[{rollout_id}]({room}/rollouts/{rollout_id}): {state.replace('_', ' ')}" in page
    assert _tags(rollouts, 2)["drift"] == f"{room}/drift"


def test_a_promotion_and_its_undoing_leave_a_page_and_a_tag_each(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    _decide(rollouts, rollout_id, "promote", reason="in a hurry")
    _decide(rollouts, rollout_id, "abort", reason="too much of a hurry")
    look()
    assert len(_pages(rollouts, f"rollout-{rollout_id.replace('_', '-')}")) == 2
    tags = _tags(rollouts, 2)
    assert tags[f"rollout.{rollout_id}.promoted"].endswith("by anna: in a hurry")
    assert tags[f"rollout.{rollout_id}.rolled_back"].endswith("by anna: too much of a hurry")
    assert rollouts.registry.aliases() == {"champion": 1}


def test_the_page_is_not_written_again_when_the_process_died_before_the_tag(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    _decide(rollouts, rollout_id, "abort", reason="not today")
    look()
    rollouts.tracker.client.delete_model_version_tag("everfeed", "2", f"rollout.{rollout_id}.rolled_back")
    look()
    assert len(_pages(rollouts, f"rollout-{rollout_id.replace('_', '-')}")) == 1
    assert f"rollout.{rollout_id}.rolled_back" in _tags(rollouts, 2)


def test_an_alias_moved_by_hand_is_put_back_and_told(rollouts: Platform, caplog: pytest.LogCaptureFixture) -> None:
    settle(rollouts)
    rollouts.registry.reconcile(1, None)
    rollouts.tracker.client.set_registered_model_alias("everfeed", "champion", "2")
    with caplog.at_level(logging.WARNING, logger="flows.reconciler"):
        look()
    assert rollouts.registry.aliases() == {"champion": 1}
    assert "alias moved by hand alias=champion found=2 written=1" in caplog.text
    (page,) = _pages(rollouts, "alias-moved")
    assert "moved by hand to version 2 and was put back to version 1" in page
    assert "moved by hand" in _tags(rollouts, 2)["why"]
    look()
    assert len(_pages(rollouts, "alias-moved")) == 1


def test_nothing_is_told_when_the_aliases_follow_a_rollout(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    look()
    _decide(rollouts, rollout_id, "promote", reason="seen enough")
    look()
    assert _pages(rollouts, "alias-moved") == []


def test_weight_0_is_asserted_until_the_challenger_answers_no_more(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    served = traffic(rollouts, arm=Arm.CANARY, users=3, clicks_of_4=1)
    assert insist_on_zero(rollouts) == 0  # it serves by right
    _decide(rollouts, rollout_id, "abort", reason="not today")
    revision, changed_at = rollouts.rollouts.serving().revision, rollouts.rollouts.serving().changed_at
    assert changed_at is not None
    assert insist_on_zero(rollouts) == 0
    in_flight = replace(served[0], request_id="in flight", timestamp=changed_at + SETTLING)
    rollouts.events.append_requests([in_flight])
    assert insist_on_zero(rollouts) == 0
    assert rollouts.rollouts.serving().revision == revision
    stray = replace(served[0], request_id="stray", timestamp=changed_at + SETTLING + timedelta(milliseconds=1))
    rollouts.events.append_requests([stray])
    assert insist_on_zero(rollouts) == 1
    after = rollouts.rollouts.serving()
    assert (after.revision, after.challenger, after.share) == (revision + 1, None, 0.0)
    assert insist_on_zero(rollouts) == 0  # the stray request is older than the new assertion's settling time


def test_weight_is_left_alone_when_the_control_and_the_rest_go_on(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    served = traffic(rollouts, arm=Arm.CONTROL, users=1, clicks_of_4=0)
    _decide(rollouts, rollout_id, "abort", reason="not today")
    later = replace(served[0], request_id="later", timestamp=datetime.now(UTC) + timedelta(minutes=1))
    rollouts.events.append_requests([later])
    assert insist_on_zero(rollouts) == 0


def test_nothing_is_settled_when_nobody_serves(home: Settings) -> None:
    from flows.wiring import connect

    settle(connect(home))
    assert look() is None
