"""A real gateway over a home of its own: the champion serves, and challengers answer it unseen."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import httpx
import uvicorn

from benchmarks.zoo.world import SEED, World
from flows.evidence import examine
from flows.wiring import Platform
from infra.replay import PastEvent, Visit, replay, serves
from infra.rollout_records import ModelReference, Plan
from infra.serving.app import create_app
from infra.settings import Settings
from monitoring.canary import CanaryConfig, Verdict
from monitoring.canary.shadow import ShadowConfig
from recmodels.data.visitors import resample

REQUESTS = 300
"""Requests that a challenger answers unseen before its lists are judged; what is certain is found on fewer."""

_LOOKS = (8, 48)
"""Requests at the first looks; the last one is at all of them."""
_SURFACE = "video"
_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.05
_CHAMPION = 1


@dataclass(frozen=True)
class Unseen:
    """How a challenger did in the gateway before anybody met it.

    Attributes:
        problem: Why its slot does not serve; empty when it does.
        verdict: The judge's last word on the shadow stage.
        requests: Requests that it answered unseen.
        share: Largest share of users that it was given.
    """

    problem: str
    verdict: Verdict
    requests: int
    share: float


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves.

    Attributes:
        home: Its stores.
        url: Its address.
        visits: Held-out people, who ask one after the other.
    """

    home: Platform
    url: str
    visits: tuple[Visit, ...]

    def force(self, digest: str, *, name: str) -> Unseen:
        """Start a rollout whatever the gate said, let the challenger answer unseen, and end it.

        The stage ends well, as it ends for any model, only when the judge says so.
        """
        now, rollouts = datetime.now(UTC), self.home.rollouts
        rollout_id = f"{name}-{digest[:8]}".replace(" ", "-").replace(":", "")
        challenger = ModelReference(digest, len(rollouts.rollouts()) + _CHAMPION + 1)
        terms = CanaryConfig(shadow=ShadowConfig(minimum_requests=len(self.visits), minimum_seconds=0.0))
        config = terms.model_dump(mode="json")
        plan = Plan(rollout_id, challenger, steps=terms.steps, config=config, is_forced=True, is_shadow=True)
        rollouts.start(plan, now=now, by="the zoo")
        wait_until(lambda: serves(self.url, rollout_id, step=-1), what=f"the gateway takes up {name}")
        verdict = self._look(rollout_id)
        share, problem = rollouts.serving().share, self._problem()
        found = Unseen(problem, verdict, self.home.shadows.figures(rollout_id).requests, share)
        rollouts.roll_back(rollout_id, fencing=None, now=datetime.now(UTC), by="the zoo", reason="seen enough")
        return found

    def _look(self, rollout_id: str) -> Verdict:
        for start, end in pairwise((0, *_LOOKS, len(self.visits))):
            visits = [self._renamed(visit, rollout_id) for visit in self.visits[start:end]]
            replay(self.url, visits, k=10, surface=_SURFACE)
            self._await_comparisons(rollout_id, end)
            verdict = examine(self.home, self.home.rollouts.rollout(rollout_id), now=datetime.now(UTC)).verdict
            if verdict.action == "rollback":
                break
        return verdict

    def _await_comparisons(self, rollout_id: str, count: int) -> None:
        figures = self.home.shadows.figures
        wait_until(lambda: figures(rollout_id).requests >= count, what=f"{count} requests are compared")

    def _problem(self) -> str:
        slots = httpx.get(f"{self.url}/v1/status", trust_env=False).json()["slots"]
        (challenger,) = (slot for slot in slots if slot["role"] == "challenger")
        return str(challenger["problem"])

    @staticmethod
    def _renamed(visit: Visit, rollout_id: str) -> Visit:
        return Visit(f"{visit.visitor}-{rollout_id}", visit.history, visit.future)


@contextmanager
def serving(world: World, settings: Settings, *, requests: int = REQUESTS) -> Iterator[Gateway]:
    """Run a gateway over a home whose bundles are the world's, with the world's champion.

    Args:
        world: Its bundles must lie in the home.
        settings: Of the home.
        requests: How many a challenger answers unseen at most; its lists are judged at so many.
    """
    assert world.root == settings.bundles, "the gateway reads the bundles of its own home"
    home = Platform(settings)
    champion = ModelReference(world.champion, _CHAMPION)
    home.rollouts.set_bootstrap_champion(champion, now=datetime.now(UTC), by="the zoo", reason="it is good")
    app = create_app(home.database, bundles=settings.bundles, token="none", user_secret=b"the zoo's")
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="gateway")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), what="the gateway starts")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Gateway(home, f"http://127.0.0.1:{port}", tuple(visits_of(world, requests)))
    finally:
        server.should_exit = True
        thread.join(timeout=_TIMEOUT_SECONDS)
        home.database.close()


def visits_of(world: World, count: int) -> Sequence[Visit]:
    """Return visits of held-out people who have a history."""
    known, vocabulary = world.split.test, world.split.vocabulary
    visitors = resample(known, count=4 * count, seed=SEED)
    rows = [row for row in range(len(visitors)) if visitors.histories.lengths[row]][:count]
    assert len(rows) == count, f"{len(rows)} of the drawn visitors have a history, {count} are needed"
    histories = visitors.histories.last(50)
    return [
        Visit(
            visitor=f"zoo-{row}",
            history=tuple(
                PastEvent(item, time)
                for item, time in zip(
                    vocabulary.decode(histories.row(row)).tolist(),
                    histories.timestamps[histories.starts[row] : histories.ends[row]].tolist(),
                    strict=True,
                )
            ),
            future=frozenset(),
        )
        for row in rows
    ]


def wait_until(holds: Callable[[], bool], *, what: str, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
    """Wait for something that will happen.

    Raises:
        TimeoutError: It did not.
    """
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:.0f} s in vain until {what}")
        time.sleep(_POLL_SECONDS)
