"""Which champion a training goes on from, and what its run says of it."""

from dataclasses import dataclass
from datetime import datetime

from flows.references import Snapshot
from flows.wiring import Platform
from recmodels.bundle import load_bundle
from recmodels.data.splits import Split
from recmodels.errors import TrainingError
from recmodels.lineage import Origin, WarmStartReport, origin_of, unless_too_late
from recmodels.manifest import verify
from recmodels.recipe import Recipe
from recmodels.training.trainer import Parent


@dataclass(frozen=True, eq=False)
class Start:
    """What a training starts from.

    Attributes:
        words: As in `Origin`.
        parent: Whose weights it goes on from; None from scratch.
    """

    words: str
    parent: Parent | None


def find_origin(home: Platform, snapshot: Snapshot, recipe: Recipe) -> Origin:
    """Ask who serves, and decide whether a training of this recipe goes on from it.

    It does not go on from a model that an erased person is in, since what it learned of them would live on. An
    adaptation starts from the bundle that its recipe names.

    Raises:
        TrainingError: An erased person is in the bundle that is to be adapted.
    """
    if recipe.adaptation.is_on:
        return _adapted(home, recipe.adaptation.parent)
    champion = home.rollouts.champion() if recipe.warm_start.enabled else None
    digest = champion.digest if champion else ""
    manifest = verify(home.settings.bundles, digest) if champion else None
    origin = origin_of(recipe, snapshot=snapshot.fingerprint, champion=manifest, digest=digest)
    if origin.parent and origin.parent in home.erasures.containing():
        return Origin(words=f"from scratch: bundle {origin.parent[:12]} has learned from a person who was erased since")
    return origin


def load_start(home: Platform, origin: Origin, split: Split, recipe: Recipe) -> Start:
    """Read the weights that an origin names, after their bundle was found to be what its digest says.

    Raises:
        BundleError: The bundle is missing, or was altered.
    """
    if origin.parent and not recipe.adaptation.is_on:  # an adaptation is refused, rather than trained from scratch
        origin = unless_too_late(origin, verify(home.settings.bundles, origin.parent), train_until=split.train_until)
    bundle = load_bundle(home.settings.bundles, origin.parent) if origin.parent else None
    return Start(origin.words, Parent.of(bundle) if bundle else None)


def _adapted(home: Platform, digest: str) -> Origin:
    if digest in home.erasures.containing():
        raise TrainingError(
            f"bundle {digest[:12]} has learned from a person who was erased since, and so would what is adapted from "
            "it. Name a bundle in adaptation.parent that was trained after."
        )
    return Origin(digest, f"adapts {digest[:12]}")


def since_of(home: Platform, digest: str) -> datetime | None:
    """Return from when on a bundle's events were new to it; None for one that was trained from scratch."""
    report = verify(home.settings.bundles, digest).warm_start
    return report.since if report else None


def track_start(home: Platform, run_id: str, words: str, report: WarmStartReport | None) -> None:
    """Say in a run what it started from, where its recipe asks for a warm start."""
    if words:
        home.tracker.set_tags(run_id, {"origin": words})
    if report:
        version = home.registry.version_of(report.parent)
        facts = report.model_dump(mode="json", exclude={"parent"}) | {"digest": report.parent, "version": version}
        home.tracker.log_parameters(run_id, {f"parent.{name}": value for name, value in facts.items()})
