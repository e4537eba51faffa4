"""The way of a bad model: load, gate, warm-up, shadow, canary; forced on, so that each gate speaks for itself.

The first four are before anybody meets the model. The canary is replayed for those that a person would have forced past
the gate and that the shadow stage lets out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from benchmarks.zoo.animals import Animal
from benchmarks.zoo.gateway import Gateway, Unseen
from benchmarks.zoo.recording import judge_replayed, make_lists, recording_of
from benchmarks.zoo.world import World
from monitoring.canary.verdict import Action
from recmodels.bundle import Bundle, load_bundle
from recmodels.errors import BundleError
from recmodels.evaluation.comparison import compare
from recmodels.evaluation.footprint import measure_footprint
from recmodels.evaluation.gate import GateDecision, decide
from recmodels.ranker import Ranker

BEFORE_USERS = ("load", "gate", "warm-up", "shadow")
STAGES = (*BEFORE_USERS, "canary")


@dataclass(frozen=True)
class Stop:
    """What one stage said.

    Attributes:
        stage: Which.
        by: Name of the gate, check or rule that stops the model; empty where it is let through.
        words: What was seen.
    """

    stage: str
    by: str
    words: str


@dataclass(frozen=True)
class Trial:
    """How one model fared.

    Attributes:
        name: Of the model.
        words: What is wrong with it.
        stops: What each stage said, in order; the gate says nothing of a bundle that cannot be loaded.
        share: Largest share of users that met it in the gateway.
        requests: Requests that it answered unseen.
    """

    name: str
    words: str
    stops: tuple[Stop, ...]
    share: float
    requests: int

    @property
    def first(self) -> Stop | None:
        """The first stage that stops it."""
        return next((stop for stop in self.stops if stop.by), None)

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped before anybody met it."""
        return self.first is not None and self.first.stage in BEFORE_USERS and self.share == 0

    def said(self, stage: str) -> str:
        """Return what stopped it at a stage; empty where nothing did, or it was not asked."""
        return next((stop.by for stop in self.stops if stop.stage == stage), "")


def try_model(world: World, gateway: Gateway, animal: Animal) -> Trial:
    """Make a bad model and send it the whole way."""
    digest = animal.make(world)
    loaded = _load(world, digest)
    stops = [loaded] if isinstance(loaded, Stop) else [Stop("load", "", "loaded"), _judged(world, loaded)]
    unseen = gateway.force(digest, name=animal.name)
    stops += _served(unseen)
    if not isinstance(loaded, Stop) and not stops[-1].by:
        stops.append(_met(loaded, world))
    return Trial(animal.name, animal.words, tuple(stops), unseen.share, unseen.requests)


def ask_the_gate(world: World, bundle: Bundle) -> GateDecision:
    """Judge a bundle against the champion, as a release does."""
    footprint = measure_footprint(Ranker(bundle), clock=perf_counter)
    evaluation, evaluations, recipe = world.evaluate(bundle), world.evaluations, world.recipe
    champion = evaluations[world.champion]
    comparison = compare(
        evaluation,
        champion,
        metric=recipe.gate.metric,
        samples=recipe.evaluation.bootstrap_samples,
        confidence=recipe.evaluation.confidence,
        seed=recipe.seed,
    )
    floor = evaluations[world.floor]
    return decide(
        evaluation, champion=champion, floor=floor, comparison=comparison, config=recipe.gate, footprint=footprint
    )


def _load(world: World, digest: str) -> Bundle | Stop:
    try:
        return load_bundle(world.root, digest)
    except BundleError as error:
        return Stop("load", "BundleError", str(error))


def _judged(world: World, bundle: Bundle) -> Stop:
    decision = ask_the_gate(world, bundle)
    return Stop("gate", ", ".join(decision.refused_by), " ".join(decision.reasons) or "passed")


def _met(bundle: Bundle, world: World) -> Stop:
    recording = recording_of(world)
    replayed = judge_replayed(recording, make_lists(world, bundle, recording.futures))
    return Stop("canary", "" if replayed.is_promoted else replayed.words, replayed.verdict.words)


def _served(unseen: Unseen) -> Iterator[Stop]:
    yield Stop("warm-up", "slot refused" if unseen.problem else "", unseen.problem or "ready")
    verdict = unseen.verdict
    is_stopped = verdict.action in (Action.ROLLBACK, Action.HOLD)
    yield Stop("shadow", f"{verdict.rule} ({verdict.action})" if is_stopped else "", verdict.words)
