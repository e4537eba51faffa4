"""One list for one user from the slot of the user's arm, or the popular items when the model cannot."""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from infra.histories import UserHistory
from infra.serving.slots import Slot
from infra.serving.watcher import View
from recmodels.slates import Ask, Slate

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What a list must hold.

    Attributes:
        k: How many items.
        surface: Where they are shown.
        exclude: Items that must not be in it.
        age: Years of who asks; None where that is not known.
        seed: Of what is drawn for it.
        moment: Microseconds since 1970 now; None where it is not asked for by anybody.
        query: What was searched for.
        attributes: Texts of the request's context, by name.
    """

    k: int
    surface: str
    exclude: tuple[str, ...] = ()
    age: float | None = None
    seed: int = 0
    moment: int | None = None
    query: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranking:
    """A list, and how it came about.

    Attributes:
        item_ids: In the order to show.
        scores: One an item; empty on a fallback.
        propensities: One an item.
        fallback_reason: Empty when the model made the list.
        is_error: The model failed, was late or could not be loaded.
        is_non_finite: The model gave a score that is not a finite number.
        num_blocked: Items that may not be shown and that the model answered nevertheless; they are not in the list.
        segment_version: Version of the segment of new items, where the list holds one of them; else None.
    """

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    fallback_reason: str = ""
    is_error: bool = False
    is_non_finite: bool = False
    num_blocked: int = 0
    segment_version: int | None = None


async def make_ranking(slot: Slot | None, history: UserHistory, wish: Wish, *, view: View) -> Ranking:
    """Return the slot's list, or the popular items with the reason.

    A model that raises, is late or scores with numbers that are not finite costs one answer each; after several in a
    row it is left alone for a while.
    """
    if slot is None:
        return _popular("no_model", history, wish, view=view)
    if slot.loaded is None:
        is_non_finite = slot.reason == "not_finite"
        return _popular(slot.reason, history, wish, view=view, is_error=True, is_non_finite=is_non_finite)
    if not history.item_ids:
        return _popular("unknown_user", history, wish, view=view)
    model = slot.loaded
    if not model.breaker.allows(time.monotonic()):
        return _popular("paused", history, wish, view=view, is_error=True)
    standing = view.standing(model.digest)
    try:
        slate = await model.batcher.rank(ask_of(history, wish), standing=standing)
    except TimeoutError:
        model.breaker.failed(time.monotonic())
        return _popular("late", history, wish, view=view, is_error=True)
    except Exception:  # noqa: BLE001 - a door: a model that fails costs its users a list of popular items, no more
        _log.exception("ranking failed digest=%s", model.digest)
        model.breaker.failed(time.monotonic())
        return _popular("error", history, wish, view=view, is_error=True)
    if slate.non_finite:
        model.breaker.failed(time.monotonic())
        return _popular("not_finite", history, wish, view=view, is_error=True, is_non_finite=True)
    model.breaker.succeeded()
    newcomers = standing.newcomers
    version = newcomers.version if slate.has_newcomers and newcomers is not None else None
    ranking = without_unsafe(slate, view=view, segment_version=version)
    if slate.is_popular:  # counts are no scores of the model's: neither logged nor judged as such
        return replace(ranking, scores=(), fallback_reason="unknown_items")
    return ranking


def ask_of(history: UserHistory, wish: Wish) -> Ask:
    """Return what the model is asked."""
    return Ask(
        history.item_ids,
        history.timestamps,
        wish.k,
        wish.surface,
        wish.exclude,
        age=wish.age,
        seed=wish.seed,
        moment=wish.moment,
        query=wish.query,
        attributes=wish.attributes,
    )


def without_unsafe(slate: Slate, *, view: View, segment_version: int | None = None) -> Ranking:
    """Check what the ranker promises: what is blocked stays away even where its filter or its labels fail.

    A model may have been trained on labels that are out of date; the champion's catalogue and the database know better.
    What is found is counted, and the canary's judge rolls back at the first one.
    """
    blocked, mislabelled = view.blocked, view.mislabelled
    if blocked.isdisjoint(slate.item_ids) and mislabelled.isdisjoint(slate.item_ids):
        return Ranking(slate.item_ids, slate.scores, slate.propensities, segment_version=segment_version)
    rows = zip(slate.item_ids, slate.scores, slate.propensities, strict=True)
    kept = [row for row in rows if row[0] not in blocked and row[0] not in mislabelled]
    item_ids, scores, propensities = zip(*kept, strict=True) if kept else ((), (), ())
    num_blocked = len(slate.item_ids) - len(kept)
    return Ranking(item_ids, scores, propensities, num_blocked=num_blocked, segment_version=segment_version)


def _popular(
    reason: str, history: UserHistory, wish: Wish, *, view: View, is_error: bool = False, is_non_finite: bool = False
) -> Ranking:
    own: Collection[str] = {*wish.exclude, *history.item_ids}
    item_ids = view.lineup.popular.top(wish.k, surface=wish.surface, without=(view.blocked, view.mislabelled, own))
    return Ranking(item_ids, (), (1.0,) * len(item_ids), reason, is_error=is_error, is_non_finite=is_non_finite)
