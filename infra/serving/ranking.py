"""One list for one user from the slot of the user's arm, or the popular items when the model cannot."""

import asyncio
import logging
import time
from collections.abc import Callable, Container
from dataclasses import dataclass

from infra.histories import UserHistory
from infra.serving.slots import LoadedModel, Slot
from infra.serving.watcher import View
from recmodels.ranker import Slate

_log = logging.getLogger(__name__)

DEADLINE_SECONDS = 0.25
"""How long a model may take before the popular items are answered instead."""


@dataclass(frozen=True)
class Wish:
    """What a list must hold.

    Attributes:
        k: How many items.
        surface: Where they are shown.
        exclude: Items that must not be in it.
    """

    k: int
    surface: str
    exclude: tuple[str, ...] = ()


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
        num_blocked: Items taken down that the model answered nevertheless; they are not in the list.
    """

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    fallback_reason: str = ""
    is_error: bool = False
    is_non_finite: bool = False
    num_blocked: int = 0


async def make_ranking(slot: Slot | None, history: UserHistory, wish: Wish, *, view: View) -> Ranking:
    """Return the slot's list, or the popular items with the reason.

    A model that raises, is late or scores with numbers that are not finite costs one answer each; after several in a
    row it is left alone for a while.
    """
    if slot is None:
        return _popular("no_model", history, wish, view=view)
    if slot.loaded is None:
        return _popular("not_loaded", history, wish, view=view, is_error=True)
    if not history.item_ids:
        return _popular("unknown_user", history, wish, view=view)
    model = slot.loaded
    if not model.breaker.allows(time.monotonic()):
        return _popular("paused", history, wish, view=view, is_error=True)
    try:
        slate = await _ask(model, history, wish, blocked=view.blocked)
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
    return _without_blocked(slate, view.blocked)


def _without_blocked(slate: Slate, blocked: frozenset[str]) -> Ranking:
    """Check what the ranker promises: a takedown holds even where its filter fails, and the failure is counted."""
    rows = zip(slate.item_ids, slate.scores, slate.propensities, strict=True)
    kept = [row for row in rows if row[0] not in blocked]
    num_blocked = len(slate.item_ids) - len(kept)
    if num_blocked == 0:
        return Ranking(slate.item_ids, slate.scores, slate.propensities)
    item_ids, scores, propensities = zip(*kept, strict=True) if kept else ((), (), ())
    return Ranking(item_ids, scores, propensities, num_blocked=num_blocked)


async def _ask(model: LoadedModel, history: UserHistory, wish: Wish, *, blocked: frozenset[str]) -> Slate:
    def rank() -> Slate:
        return model.ranker.recommend(
            history.item_ids, history.timestamps, k=wish.k, exclude=wish.exclude, surface=wish.surface, blocked=blocked
        )

    return _inline(model, rank) if model.runs_inline else await _aside(model, rank)


def _inline(model: LoadedModel, rank: Callable[[], Slate]) -> Slate:
    """Rank on the event loop; a model that overruns its deadline there is ranked in a thread from then on."""
    began = time.perf_counter()
    slate = rank()
    if time.perf_counter() - began > DEADLINE_SECONDS:
        model.runs_inline = False
    return slate


async def _aside(model: LoadedModel, rank: Callable[[], Slate]) -> Slate:
    """Rank in the model's own thread.

    Raises:
        TimeoutError: The deadline passed; the thread finishes what it does, for nobody.
    """
    future = asyncio.get_running_loop().run_in_executor(model.executor, rank)
    return await asyncio.wait_for(future, DEADLINE_SECONDS)


def _popular(
    reason: str, history: UserHistory, wish: Wish, *, view: View, is_error: bool = False, is_non_finite: bool = False
) -> Ranking:
    without: Container[str] = view.blocked.union(wish.exclude, history.item_ids)
    item_ids = view.lineup.popular.top(wish.k, surface=wish.surface, without=without)
    return Ranking(item_ids, (), (1.0,) * len(item_ids), reason, is_error=is_error, is_non_finite=is_non_finite)
