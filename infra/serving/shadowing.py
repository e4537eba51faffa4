"""The shadow stage: the challenger answers what the champion answered, after the answer is out, and nobody sees it.

What is offered waits in a short queue and is dropped when that is full. Each comparison runs in the challenger's own
thread, one at a time so that its latency is that of a lone request, and at most half of the time, so that the champion
keeps the processor.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from infra.events import ServedRequest
from infra.serving.batching import DEADLINE_SECONDS, Standing, make_slates
from infra.serving.metrics import Counter
from infra.serving.ranking import without_unsafe
from infra.serving.slots import Slot
from infra.serving.watcher import View
from infra.shadow_records import ShadowAnswer
from infra.shadows import ShadowStore
from recmodels.ranker import Ranker
from recmodels.slates import Ask, Slate

_log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 256
"""Requests that may wait for the challenger; more are not compared."""

GROUP_SECONDS: Final = 0.5
GROUP_LIMIT: Final = 100
"""Comparisons are written together: so many, or those of so long."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer of the champion, and all that its challenger needs to answer the same.

    Attributes:
        served: What was answered.
        champion_seconds: The champion's time to its list.
        ask: What the champion was asked.
        slot: The challenger's.
        view: The world as the request saw it.
    """

    served: ServedRequest
    champion_seconds: float
    ask: Ask
    slot: Slot
    view: View


@dataclass(frozen=True, slots=True)
class _Timed:
    slate: Slate
    seconds: float


class Shadow:
    """Lets the challenger answer, and keeps what came of it.

    Args:
        store: Where comparisons are kept.
        count: Counts requests by what became of them: ``compared``, ``dropped`` or ``lost``.
        limit: Most requests that wait.
        deadline_seconds: A challenger that takes longer is late.
    """

    def __init__(
        self,
        store: ShadowStore,
        *,
        count: Counter,
        limit: int = QUEUE_LIMIT,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._store = store
        self._count = count
        self._deadline_seconds = deadline_seconds
        self._queue: queue.Queue[Shown] = queue.Queue(limit)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was compared, and end the thread; what still waits is dropped."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._count.add("dropped", amount=self._queue.qsize())

    def offer(self, shown: Shown) -> None:
        """Have an answer compared, or drop it where too many wait; returns at once."""
        try:
            self._queue.put_nowait(shown)
        except queue.Full:
            self._count.add("dropped")

    def _run(self) -> None:
        answers: list[ShadowAnswer] = []
        written_at = time.monotonic()
        while not self._stopped.is_set():
            try:
                shown = self._queue.get(timeout=GROUP_SECONDS / 2)
            except queue.Empty:
                pass
            else:
                answers.append(compare(shown, deadline_seconds=self._deadline_seconds))
                self._stopped.wait(answers[-1].latency_seconds)
            if len(answers) >= GROUP_LIMIT or time.monotonic() - written_at >= GROUP_SECONDS:
                self._write(answers)
                answers, written_at = [], time.monotonic()
        self._write(answers)

    def _write(self, answers: list[ShadowAnswer]) -> None:
        if not answers:
            return
        try:
            self._store.append(answers)
        except Exception as error:  # noqa: BLE001 - a door: comparisons may be lost, serving goes on
            _log.warning("comparisons lost rows=%d problem=%r", len(answers), error)
            self._count.add("lost", amount=len(answers))
        else:
            self._count.add("compared", amount=len(answers))


def compare(shown: Shown, *, deadline_seconds: float) -> ShadowAnswer:
    """Let the challenger answer, and put its list beside the one that was shown."""
    model = shown.slot.loaded
    if model is None:
        is_non_finite = shown.slot.reason == "not_finite"
        return _answer(shown, None, 0.0, is_error=True, is_non_finite=is_non_finite)
    began = time.perf_counter()
    standing = shown.view.standing(model.digest)
    try:
        timed = _within(model.executor, lambda: _rank(model.ranker, shown.ask, standing), deadline_seconds)
    except TimeoutError:
        return _answer(shown, None, time.perf_counter() - began, is_late=True)
    except Exception as error:  # noqa: BLE001 - a door: whatever the challenger raises is what is to be found out
        _log.warning("challenger failed unseen digest=%s problem=%r", model.digest, error)
        return _answer(shown, None, time.perf_counter() - began, is_error=True)
    slate = timed.slate
    is_late = timed.seconds > deadline_seconds
    return _answer(shown, slate, timed.seconds, is_late=is_late, is_non_finite=slate.non_finite)


def _rank(ranker: Ranker, ask: Ask, standing: Standing) -> _Timed:
    began = time.perf_counter()
    (slate,) = make_slates(ranker, [ask], standing)
    return _Timed(slate, time.perf_counter() - began)


def _within(executor: ThreadPoolExecutor, rank: Callable[[], _Timed], seconds: float) -> _Timed:
    """Return what `rank` returns in the challenger's thread; give up after `seconds`, also where it hangs already."""
    flight = executor.submit(rank)
    try:
        return flight.result(timeout=seconds)
    finally:
        flight.cancel()


def _answer(
    shown: Shown,
    slate: Slate | None,
    seconds: float,
    *,
    is_error: bool = False,
    is_late: bool = False,
    is_non_finite: bool = False,
) -> ShadowAnswer:
    served, ranking = shown.served, None if slate is None else without_unsafe(slate, view=shown.view)
    item_ids = ranking.item_ids if ranking else ()
    common = len(set(item_ids).intersection(served.item_ids))
    return ShadowAnswer(
        request_id=served.request_id,
        rollout_id=served.rollout_id or "",
        timestamp=served.timestamp,
        overlap=common / len(served.item_ids) if served.item_ids else 0.0,
        item_ids=item_ids,
        champion_item_ids=served.item_ids,
        latency_seconds=seconds,
        champion_seconds=shown.champion_seconds,
        num_requested=served.num_requested,
        num_blocked=ranking.num_blocked if ranking else 0,
        is_error=is_error,
        is_non_finite=is_non_finite,
        is_late=is_late,
    )
