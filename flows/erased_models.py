"""Which models an erased person is still in, where these stand, and until when."""

from collections.abc import Collection
from datetime import datetime

from flows.clock import next_daily
from flows.wiring import Platform
from infra.erasures import Containing, Receipt
from recmodels.errors import BundleError
from recmodels.manifest import Manifest, verify

CHAMPION, CHALLENGER, ARCHIVED, CANDIDATE = "champion", "challenger", "archived", "candidate"


def learned_from(home: Platform, user_id: str, *, known: Collection[str]) -> tuple[Containing, ...]:
    """Return the bundles of the home that a person is in, the newest version first.

    A bundle was trained on every event before its `trained_until`, so the person is in it when their first event is
    older; or when it went on from the weights of one that they are in. One that cannot be read counts, too.

    Args:
        home: The stores; their lake must still hold the person.
        user_id: The raw id; empty where it is not known.
        known: Digests that an earlier pass found, whose lake did.
    """
    first = home.lake.first_moment(user_id) if user_id else None
    digests = sorted(path.name for path in home.settings.bundles.glob("*") if path.is_dir())
    manifests = {digest: _manifest(home, digest) for digest in digests}
    inside = {digest for digest in digests if digest in known or (first and _has_seen(manifests[digest], first))}
    while later := {digest for digest in digests if _parent(manifests[digest]) in inside} - inside:
        inside |= later
    return tuple(sorted((_containing(home, digest, manifests[digest]) for digest in inside), key=_newest_first))


def next_training(home: Platform, models: Collection[Containing], *, now: datetime) -> datetime | None:
    """Return when the next training begins, which the person cannot be in; None where no model is theirs to leave."""
    return next_daily(now, time_zone=home.settings.time_zone) if models else None


def standing(home: Platform, receipt: Receipt) -> tuple[Containing, ...]:
    """Return the models of a receipt that are still there, where they stand now."""
    there = [model for model in receipt.models if (home.settings.bundles / model.digest).is_dir()]
    return tuple(
        Containing(model.digest, home.registry.version_of(model.digest), model.recipe, _stage(home, model.digest))
        for model in there
    )


def _containing(home: Platform, digest: str, manifest: Manifest | None) -> Containing:
    recipe = str(manifest.recipe["name"]) if manifest else "not readable"
    return Containing(digest, home.registry.version_of(digest), recipe, _stage(home, digest))


def _stage(home: Platform, digest: str) -> str:
    champion, active = home.rollouts.champion(), home.rollouts.active()
    if champion and champion.digest == digest:
        return CHAMPION
    if active and active.challenger.digest == digest:
        return CHALLENGER
    return CANDIDATE if home.registry.version_of(digest) is None else ARCHIVED


def _has_seen(manifest: Manifest | None, first: datetime) -> bool:
    return manifest is None or first < manifest.trained_until


def _parent(manifest: Manifest | None) -> str:
    return manifest.warm_start.parent if manifest and manifest.warm_start else ""


def _manifest(home: Platform, digest: str) -> Manifest | None:
    try:
        return verify(home.settings.bundles, digest)
    except BundleError:
        return None


def _newest_first(model: Containing) -> tuple[int, str]:
    return -(model.version or 0), model.digest
