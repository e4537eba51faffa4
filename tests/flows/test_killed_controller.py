"""A controller that is killed in the middle of a look: what it decided is done, and nothing is done twice."""

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from flows.canary import look
from flows.wiring import Platform
from infra.rollouts import Rollout
from infra.serving.app import create_app
from infra.settings import Settings
from recmodels.assignment import Arm
from tests.flows.homes import ROOT, environment, python
from tests.flows.rolling import CONFIG, crowned, start, traffic
from tests.infra.gateway_home import serve

STEPPED = CONFIG.model_copy(update={"steps": (0.1, 0.5), "minimum_step_seconds": 1.0})


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    return crowned(home)


def _killed(platform: Platform, moment: str) -> None:
    """Let another process look, and wait until it has died."""
    command = python("-m", "tests.flows.killed_controller", moment)
    ended = subprocess.run(
        command, env=environment(platform.settings), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-3000:]


def _evidence(platform: Platform, *, is_good: bool) -> None:
    clicks = (3, 1) if is_good else (1, 3)
    for arm, number in zip((Arm.CANARY, Arm.CONTROL), clicks, strict=True):
        traffic(platform, arm=arm, users=600, clicks_of_4=number)


def _states(platform: Platform, rollout_id: str) -> list[tuple[str, int]]:
    return [(str(change.state), change.step) for change in platform.rollouts.transitions(rollout_id)]


def _rollout(platform: Platform, rollout_id: str) -> Rollout:
    return platform.rollouts.rollout(rollout_id)


def test_nothing_is_decided_when_the_controller_dies_before_the_commit(rollouts: Platform) -> None:
    rollout_id = start(rollouts)
    _evidence(rollouts, is_good=False)
    _killed(rollouts, "deciding")
    assert rollouts.rollouts.verdicts(rollout_id) == []
    assert _states(rollouts, rollout_id) == [("running", 0)]
    rolled = look()
    assert rolled is not None
    assert (rolled.state, rolled.looks) == ("rolled_back", 1)
    assert _states(rollouts, rollout_id) == [("running", 0), ("rolled_back", 0)]


def test_the_rollback_stands_and_its_traces_follow_when_the_controller_dies_after_the_commit(
    rollouts: Platform,
) -> None:
    rollout_id = start(rollouts)
    _evidence(rollouts, is_good=False)
    _killed(rollouts, "decided")
    assert _rollout(rollouts, rollout_id).state == "rolled_back"
    assert len(rollouts.rollouts.verdicts(rollout_id)) == 1
    assert rollouts.rollouts.serving().challenger is None
    assert rollouts.registry.aliases() == {"champion": 1, "challenger": 2}  # MLflow does not know yet
    assert look() is None
    assert rollouts.registry.aliases() == {"champion": 1}
    tags = next(known.tags for known in rollouts.registry.versions() if known.version == 2)
    assert f"rollout.{rollout_id}.rolled_back" in tags
    assert _states(rollouts, rollout_id) == [("running", 0), ("rolled_back", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["deciding", "decided"])
def test_a_step_is_made_once_when_the_controller_dies_around_it(rollouts: Platform, moment: str) -> None:
    rollout_id = start(rollouts, STEPPED)
    _evidence(rollouts, is_good=True)
    time.sleep(1.0)
    _killed(rollouts, moment)
    look()
    looks = rollouts.rollouts.verdicts(rollout_id)
    assert _states(rollouts, rollout_id) == [("running", 0), ("running", 1)]
    assert next(verdict.action for verdict in looks) == "advance"
    assert _rollout(rollouts, rollout_id).share == 0.5


@dataclass(frozen=True)
class _Gateway:
    """A real gateway over the home, asked as any client would."""

    url: str

    def is_serving(self, rollout_id: str | None) -> bool:
        status = httpx.get(f"{self.url}/v1/status", timeout=5.0, trust_env=False).json()
        return bool(status["rollout_id"] == rollout_id)

    def seconds_until(self, rollout_id: str | None, *, since: datetime) -> float:
        """Wait until it serves a rollout, or none; return the seconds since a moment."""
        deadline = time.monotonic() + 20
        while not self.is_serving(rollout_id):
            assert time.monotonic() < deadline, f"the gateway does not serve {rollout_id}"
            time.sleep(0.01)
        return (datetime.now(UTC) - since).total_seconds()


@pytest.fixture
def gateway(rollouts: Platform) -> Iterator[_Gateway]:
    settings = rollouts.settings
    app = create_app(
        rollouts.database, bundles=settings.bundles, token=settings.token(), user_secret=settings.user_secret()
    )
    with serve(app) as url:
        yield _Gateway(url)


def test_the_gateway_takes_the_challenger_out_within_a_second_when_a_rollback_is_decided(
    rollouts: Platform, gateway: _Gateway
) -> None:
    rollout_id = start(rollouts)
    gateway.seconds_until(rollout_id, since=datetime.now(UTC))
    rolled_at = datetime.now(UTC)
    rollouts.rollouts.roll_back(rollout_id, fencing=None, now=rolled_at, by="anna", reason="enough")
    assert gateway.seconds_until(None, since=rolled_at) <= 1.0


def test_the_gateway_takes_the_challenger_out_within_ten_seconds_when_the_controller_is_killed_midway(
    rollouts: Platform, gateway: _Gateway
) -> None:
    rollout_id = start(rollouts)
    _evidence(rollouts, is_good=False)
    gateway.seconds_until(rollout_id, since=datetime.now(UTC))
    _killed(rollouts, "deciding")
    died_at = datetime.now(UTC)
    assert gateway.is_serving(rollout_id)
    look()
    assert gateway.seconds_until(None, since=died_at) <= 10.0
