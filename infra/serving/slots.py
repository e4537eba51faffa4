"""The models in memory: loaded by digest, warmed up before they take traffic, swapped as one line-up.

A line-up never changes; a new one replaces it in a single assignment, so that a request sees one state from beginning
to end. A model that cannot be loaded, or is not fit to serve, leaves its slot empty with the reason, and its users get
the popular items.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from infra.histories import UserHistory
from infra.rollouts import ModelReference, Serving
from infra.serving.batching import Batcher
from infra.serving.breaker import Breaker
from infra.serving.fallback import PopularItems
from infra.serving.footprint import give_back
from infra.serving.recollection import lists_for
from infra.serving.warmup import UnfitModelError, warm_up
from recmodels.assignment import Arm, arm_of
from recmodels.bundle import Bundle, load_bundle
from recmodels.data.schema import ITEM_ID, SAFETY
from recmodels.errors import EverfeedError
from recmodels.ranker import Ranker
from recmodels.safety import SafetyPolicy

_log = logging.getLogger(__name__)

INLINE_SECONDS = 0.004
"""A model whose median warm-up ranking takes less computing time runs on the event loop: in a thread it costs a request
a third more, since both compete for the interpreter's lock. A slower one runs in a thread of its own, where its
deadline can be kept."""


@dataclass(eq=False)
class LoadedModel:
    """A bundle ready to rank.

    Attributes:
        digest: Of the bundle.
        model: Name of the model, from the bundle's manifest.
        popular: The catalogue by popularity.
        batcher: Ranks, on the event loop or in the model's own thread.
        loaded_seconds: How long loading and warming up took.
        blocked: Items that the bundle's own catalogue blocks.
        breaker: Stops asking a model that keeps failing.
    """

    digest: str
    model: str
    popular: PopularItems
    batcher: Batcher
    loaded_seconds: float
    blocked: frozenset[str] = frozenset()
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def ranker(self) -> Ranker:
        """Ranks for one user."""
        return self.batcher.ranker

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The model's own thread."""
        return self.batcher.executor


def load_model(
    bundles: Path,
    digest: str,
    *,
    histories: Sequence[UserHistory] = (),
    safety: SafetyPolicy | None = None,
    shown: Callable[[int], Sequence[Sequence[str]]] = lambda _limit: (),
) -> LoadedModel:
    """Load the bundle `digest` from the folder `bundles`, check it and rank for people.

    Args:
        bundles: Where it is.
        digest: Which.
        histories: Of people, to rank for.
        safety: Terms under which labelled items are shown.
        shown: Returns the lists that were shown last, the newest first, at most so many.

    Raises:
        EverfeedError: The bundle is missing, altered, cannot rank or is not fit to serve.
    """
    began = time.perf_counter()
    bundle = load_bundle(bundles, digest)
    ranker, popular = Ranker(bundle, safety), PopularItems.of(bundle, safety)
    warmth = warm_up(ranker, histories, popular=popular)
    if memory := ranker.exposure_memory:
        ranker.recall(shown(lists_for(memory)))
    give_back()
    return LoadedModel(
        digest=digest,
        model=bundle.manifest.model,
        popular=popular,
        batcher=Batcher(ranker, runs_inline=warmth.median_cpu_seconds < INLINE_SECONDS),
        loaded_seconds=time.perf_counter() - began,
        blocked=_blocked_in(bundle),
    )


def _blocked_in(bundle: Bundle) -> frozenset[str]:
    is_blocked = pc.equal(bundle.items[SAFETY], "blocked")
    return frozenset(bundle.items[ITEM_ID].filter(is_blocked).to_pylist())


@dataclass(frozen=True)
class Slot:
    """A role, the model that should play it, and the model that is loaded for it, if any.

    Attributes:
        reference: Which model should play it.
        loaded: None where it cannot.
        problem: Why not, in words.
        reason: Why not, in a word: ``not_loaded``; ``not_finite`` where the warm-up found that.
        popular: Its catalogue by popularity, which also a model has that may not rank; None without a bundle.
    """

    reference: ModelReference
    loaded: LoadedModel | None
    problem: str = ""
    reason: str = ""
    popular: PopularItems | None = None


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
    def shadow(self) -> Slot | None:
        """The challenger while it answers unseen, also when it is held in that stage; else None."""
        return self.challenger if self.serving.rollout_id is not None and self.serving.step < 0 else None

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots that should hold a model."""
        return tuple(slot for slot in (self.champion, self.challenger) if slot is not None)

    @property
    def is_complete(self) -> bool:
        """Whether every slot that should hold a model holds it."""
        return all(slot.loaded is not None for slot in self.slots)


class Garage:
    """Loads the models of line-ups, and keeps a loaded model while a line-up uses it.

    It belongs to one thread, the watcher's.

    Args:
        bundles: Folder of the bundles.
        histories: Returns the histories that a model is warmed up with.
        safety: Terms under which labelled items are shown.
        shown: Returns the lists that were shown last; see `load_model`.
    """

    def __init__(
        self,
        bundles: Path,
        histories: Callable[[], Sequence[UserHistory]] = tuple,
        *,
        safety: SafetyPolicy | None = None,
        shown: Callable[[int], Sequence[Sequence[str]]] = lambda _limit: (),
    ) -> None:
        self._bundles = bundles
        self._histories = histories
        self._safety = safety
        self._shown = shown
        self._loaded: dict[str, LoadedModel] = {}

    def line_up(self, serving: Serving, *, previous: Lineup) -> Lineup:
        """Return the line-up for a row of the rollouts store; models that are loaded already are taken over."""
        champion, challenger = self._slot(serving.champion), self._slot(serving.challenger)
        lists = [slot.popular for slot in (champion, challenger) if slot is not None and slot.popular is not None]
        return Lineup(serving, champion, challenger, lists[0] if lists else previous.popular)

    def release(self, *, keep: Lineup) -> None:
        """Let go of every model that the line-up `keep` does not use; requests that use one finish with it."""
        used = {slot.reference.digest for slot in keep.slots}
        for digest in self._loaded.keys() - used:
            del self._loaded[digest]

    def _slot(self, reference: ModelReference | None) -> Slot | None:
        if reference is None:
            return None
        known = self._loaded.get(reference.digest)
        if known is not None:
            return Slot(reference, known, popular=known.popular)
        try:
            loaded = load_model(
                self._bundles, reference.digest, histories=self._histories(), safety=self._safety, shown=self._shown
            )
        except UnfitModelError as error:
            reason = error.reason if error.reason == "not_finite" else "not_loaded"
            slot = Slot(reference, None, str(error), reason, error.popular)
        except EverfeedError as error:
            slot = Slot(reference, None, str(error), "not_loaded")
        except Exception as error:  # noqa: BLE001 - a door: whatever a bundle does, the other slot goes on serving
            slot = Slot(reference, None, f"{type(error).__name__}: {error}", "not_loaded")
        else:
            _log.info("loaded digest=%s model=%s seconds=%.3f", loaded.digest, loaded.model, loaded.loaded_seconds)
            self._loaded[reference.digest] = loaded
            return Slot(reference, loaded, popular=loaded.popular)
        _log.error("not loaded digest=%s problem=%s", reference.digest, slot.problem)
        return slot
