"""A home in which a champion serves and a challenger can be rolled out, and the traffic that both then see."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flows.canary import start_canary
from flows.references import Candidate, Release
from flows.wiring import Platform, connect
from infra.events import Outcome, ServedRequest
from infra.rollouts import ModelReference
from infra.settings import Settings
from infra.shadows import ShadowAnswer
from monitoring.canary.arms import CanaryConfig
from recmodels.assignment import Arm
from recmodels.presets import item_knn

CHAMPION, CHALLENGER = "a" * 64, "b" * 64
ITEMS = ("i1", "i2", "i3", "i4")
CONFIG = CanaryConfig(
    shadow=None,
    steps=(0.5,),
    minimum_users=200,
    minimum_step_seconds=0,
    label_window_seconds=0,
    deadline_seconds=3600,
)


def crowned(home: Settings) -> Platform:
    """Return the stores of a home in which version 1 serves and version 2 is registered."""
    platform = connect(home)
    run_id = platform.tracker.lifecycle_run("test", name="test", tags={})
    for digest in (CHAMPION, CHALLENGER):
        platform.registry.register(digest, run_id=run_id, source=str(home.bundles / digest), tags={})
    platform.rollouts.set_bootstrap_champion(
        ModelReference(CHAMPION, 1), now=datetime.now(UTC), by="test", reason="bootstrap"
    )
    return platform


def start(platform: Platform, config: CanaryConfig = CONFIG) -> str:
    """Start the challenger's rollout and return its id."""
    recipe = item_knn()
    challenger = Candidate(
        recipe=recipe,
        key="key",
        run_id="run",
        parent_id="parent",
        digest=CHALLENGER,
        validation={"ndcg_at_10": 0.1},
        best_epoch=0,
        seconds=1.0,
        was_done=False,
        evaluation=platform.settings.runs,
        metrics={"ndcg_at_10": 0.1},
    )
    release = Release(
        champion_digest=CHAMPION,
        champion_version=1,
        champion_name="popularity",
        challenger=challenger,
        challenger_version=2,
    )
    return start_canary(release, config, "test")


def traffic(
    platform: Platform, *, arm: Arm, users: int, clicks_of_4: int, prefix: str = "q", latency_seconds: float = 0.01
) -> list[ServedRequest]:
    """Let `users` users of an arm ask once each; every other of them clicks so many of the 4 items shown."""
    active = platform.rollouts.active()
    assert active is not None
    moment = datetime.now(UTC) - timedelta(milliseconds=1)
    first = ServedRequest(
        request_id="",
        timestamp=moment,
        user_key="",
        surface="video",
        model_version="2" if arm is Arm.CANARY else "1",
        arm=arm,
        item_ids=ITEMS,
        scores=(4.0, 3.0, 2.0, 1.0),
        propensities=(1.0,) * 4,
        num_requested=4,
        latency_seconds=latency_seconds,
        rollout_id=active.rollout_id,
        step=active.step,
    )
    served = [
        replace(first, request_id=f"{prefix}-{arm}-{number}", user_key=f"{prefix}-{arm}-{number}")
        for number in range(users)
    ]
    platform.events.append_requests(served)
    outcomes = [
        Outcome(f"{request.request_id}-{item}", request.request_id, item, "clicked", 1.0, moment)
        for request in served[::2]
        for item in ITEMS[:clicks_of_4]
    ]
    receipt = platform.events.append_outcomes(outcomes)
    assert receipt.accepted == len(outcomes)
    return served


def unseen(
    platform: Platform, *, requests: int, overlap: float = 0.5, prefix: str = "unseen", **change: object
) -> None:
    """Let the challenger of the active rollout answer so many requests unseen, each in the same way."""
    active = platform.rollouts.active()
    assert active is not None
    first = ShadowAnswer(
        request_id="",
        rollout_id=active.rollout_id,
        timestamp=datetime.now(UTC) - timedelta(milliseconds=1),
        overlap=overlap,
        item_ids=ITEMS,
        champion_item_ids=ITEMS,
        latency_seconds=0.004,
        champion_seconds=0.003,
        num_requested=4,
    )
    answers = [replace(first, request_id=f"{prefix}-{number}", **change) for number in range(requests)]
    assert platform.shadows.append(answers) == requests
