"""The models in memory: loaded by digest, warmed up before they take traffic, swapped as one line-up.

A line-up never changes; a new one replaces it in a single assignment, so that a request sees one state from beginning
to end. A model that cannot be loaded leaves its slot empty with the reason, and its users get the popular items.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from infra.rollouts import ModelReference, Serving
from infra.serving.breaker import Breaker
from infra.serving.fallback import PopularItems
from recmodels.assignment import Arm, arm_of
from recmodels.bundle import load_bundle
from recmodels.errors import EverfeedError
from recmodels.ranker import Ranker

_log = logging.getLogger(__name__)

INLINE_SECONDS = 0.002
"""A model whose median warm-up ranking is faster runs on the event loop, for which the detour through a thread (0.1 ms)
would be a tenth of a request; a slower one runs in a thread of its own, where its deadline can be kept."""

_WARM_UP_RANKINGS = 16


@dataclass(eq=False)
class LoadedModel:
    """A bundle ready to rank.

    Attributes:
        digest: Of the bundle.
        model: Name of the model, from the bundle's manifest.
        ranker: Ranks for one user.
        popular: The catalogue by popularity.
        breaker: Stops asking a model that keeps failing.
        runs_inline: Ranking is fast enough for the event loop.
        loaded_seconds: How long loading and warming up took.
    """

    digest: str
    model: str
    ranker: Ranker
    popular: PopularItems
    runs_inline: bool
    loaded_seconds: float
    breaker: Breaker = field(default_factory=Breaker)
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ranker"))
    """Its thread starts with the first ranking that needs it, and ends when nothing refers to the model any more."""


def load_model(bundles: Path, digest: str) -> LoadedModel:
    """Load the bundle `digest` from the folder `bundles`, check it and rank a few times.

    Raises:
        EverfeedError: The bundle is missing, altered or cannot rank.
    """
    began = time.perf_counter()
    bundle = load_bundle(bundles, digest)
    ranker, popular = Ranker(bundle), PopularItems.of(bundle)
    return LoadedModel(
        digest=digest,
        model=bundle.manifest.model,
        ranker=ranker,
        popular=popular,
        runs_inline=_warm_up(ranker, popular) < INLINE_SECONDS,
        loaded_seconds=time.perf_counter() - began,
    )


def _warm_up(ranker: Ranker, popular: PopularItems) -> float:
    """Rank for histories of different lengths; return the median duration in seconds."""
    seconds = []
    for number in range(_WARM_UP_RANKINGS):
        history = popular.item_ids[: number * 4]
        began = time.perf_counter()
        ranker.recommend(history, range(len(history)), k=10)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


@dataclass(frozen=True)
class Slot:
    """A role, the model that should play it, and the model that is loaded for it, if any."""

    reference: ModelReference
    loaded: LoadedModel | None
    problem: str = ""


@dataclass(frozen=True)
class Lineup:
    """Who serves now.

    Attributes:
        serving: The row of the rollouts store that it was made from.
        champion: None before the first champion.
        challenger: None without an active rollout.
        popular: What is answered when a model cannot; kept from an earlier line-up when nothing is loaded.
    """

    serving: Serving = field(default_factory=Serving)
    champion: Slot | None = None
    challenger: Slot | None = None
    popular: PopularItems = field(default_factory=PopularItems)

    def slot_for(self, unit: str) -> tuple[Arm, Slot | None]:
        """Return the arm of a unit, and the slot that serves that arm."""
        if self.challenger is None or self.serving.rollout_id is None:
            return Arm.REST, self.champion
        arm = arm_of(unit, salt=self.serving.salt, share=self.serving.share)
        return arm, self.challenger if arm is Arm.CANARY else self.champion

    @property
    def is_complete(self) -> bool:
        """Whether every slot that should hold a model holds it."""
        return all(slot is None or slot.loaded is not None for slot in (self.champion, self.challenger))


class Garage:
    """Loads the models of line-ups, and keeps a loaded model while a line-up uses it.

    It belongs to one thread, the watcher's.

    Args:
        bundles: Folder of the bundles.
    """

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self._loaded: dict[str, LoadedModel] = {}

    def line_up(self, serving: Serving, *, previous: Lineup) -> Lineup:
        """Return the line-up for a row of the rollouts store; models that are loaded already are taken over."""
        champion, challenger = self._slot(serving.champion), self._slot(serving.challenger)
        loaded = [slot.loaded for slot in (champion, challenger) if slot is not None and slot.loaded is not None]
        popular = loaded[0].popular if loaded else previous.popular
        return Lineup(serving, champion, challenger, popular)

    def release(self, *, keep: Lineup) -> None:
        """Let go of every model that the line-up `keep` does not use; requests that use one finish with it."""
        used = {slot.reference.digest for slot in (keep.champion, keep.challenger) if slot is not None}
        for digest in self._loaded.keys() - used:
            del self._loaded[digest]

    def _slot(self, reference: ModelReference | None) -> Slot | None:
        if reference is None:
            return None
        if reference.digest in self._loaded:
            return Slot(reference, self._loaded[reference.digest])
        try:
            loaded = load_model(self._bundles, reference.digest)
        except EverfeedError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a door: whatever a bundle does, the other slot goes on serving
            problem = f"{type(error).__name__}: {error}"
        else:
            _log.info("loaded digest=%s model=%s seconds=%.3f", loaded.digest, loaded.model, loaded.loaded_seconds)
            self._loaded[reference.digest] = loaded
            return Slot(reference, loaded)
        _log.error("not loaded digest=%s problem=%s", reference.digest, problem)
        return Slot(reference, None, problem)
