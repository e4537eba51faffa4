"""Everything served and everything reported goes to the store through one thread that commits in groups.

Answers are queued and written within about 10 ms, which is the traffic that a crash can lose; feedback is acknowledged
after its commit. One queue in order of arrival means that feedback on an answer never overtakes the answer. While one
group is written the next one gathers; a group has one transaction, and a thread that writes with few steps, since each
step lets go of the interpreter's lock and waits until the event loop gives it back.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.events import EventStore, Outcome, OutcomeReceipt, ServedRequest
from infra.serving.clicks import Clicks
from infra.serving.metrics import Histogram

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.004
"""How long an answer after a silence waits for others to be committed with, and the least time from one commit to the
next. Shorter ones cost more CPU (a commit takes 0.3 ms of it), longer ones lose more in a crash. Feedback after a
silence waits for nothing, since somebody waits for it."""

QUEUE_LIMIT = 20_000
"""Rows that may wait; beyond it the gateway answers 503 rather than serve what it cannot log."""

_GROUP_LIMIT = 1_000
_RETRY_SECONDS = 0.5
_TURNED_AWAY_AFTER = 2
"""Failed attempts, one after the other, after which feedback is refused at once rather than left to wait."""


class LogFullError(Exception):
    """The queue holds as many rows as it may."""


@dataclass(frozen=True, eq=False)
class _Report:
    outcomes: tuple[Outcome, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[OutcomeReceipt]

    def resolve(self, result: OutcomeReceipt | Exception) -> None:
        self.loop.call_soon_threadsafe(self._resolve, result)

    def _resolve(self, result: OutcomeReceipt | Exception) -> None:
        if self.done.done():
            return  # the client gave up; its retry will find the events by their ids
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class EventLog:
    """The queue and its writing thread.

    Args:
        events: Where rows go.
        clicks: What a positive click does to histories.
        limit: Most rows that may wait.
    """

    def __init__(self, events: EventStore, clicks: Clicks, *, limit: int = QUEUE_LIMIT) -> None:
        self._events = events
        self._clicks = clicks
        self.limit = limit
        self._queue: queue.SimpleQueue[ServedRequest | _Report | None] = queue.SimpleQueue()
        self._is_stopping = False
        self._trouble: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="eventlog", daemon=True)
        self.lag = Histogram("everfeed_log_seconds", "From an answer to its durable row; a crash loses this much.")
        self.written = 0
        """Answers that are durable."""
        self.lost = 0
        """Answers that could not be written before the process ended."""

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._queue.qsize()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """Write what waits, then end the thread; what cannot be written in time is counted as lost."""
        self._is_stopping = True
        self._queue.put(None)
        self._thread.join(timeout=timeout_seconds)

    def record(self, served: ServedRequest) -> None:
        """Queue an answer.

        Raises:
            LogFullError: The queue is full.
        """
        self._require_room()
        self._queue.put(served)

    async def report(self, outcomes: Sequence[Outcome]) -> OutcomeReceipt:
        """Write feedback and return what became of it, after the commit.

        Raises:
            LogFullError: The queue is full.
            StoreError: The store could not take it; nothing of it was kept.
        """
        if self._trouble is not None:
            raise self._trouble
        self._require_room()
        loop = asyncio.get_running_loop()
        report = _Report(tuple(outcomes), loop, loop.create_future())
        self._queue.put(report)
        return await report.done

    def _require_room(self) -> None:
        if self._queue.qsize() >= self.limit or self._is_stopping:
            raise LogFullError(f"{self.limit} rows wait to be written")

    def _run(self) -> None:
        is_open, began = True, 0.0
        while is_open:
            is_quiet = self._queue.empty()
            first = self._queue.get()
            if first is None:
                break
            pause = INTERVAL_SECONDS
            if not is_quiet or isinstance(first, _Report):  # what gathered during a commit has waited already
                pause += began - time.monotonic()
            if pause > 0 and not self._is_stopping:
                time.sleep(pause)
            began = time.monotonic()
            group, is_open = self._gather(first)
            self._write(
                [row for row in group if isinstance(row, ServedRequest)],
                [row for row in group if isinstance(row, _Report)],
            )

    def _gather(self, first: ServedRequest | _Report) -> tuple[list[ServedRequest | _Report], bool]:
        group = [first]
        while len(group) < _GROUP_LIMIT:
            try:
                row = self._queue.get_nowait()
            except queue.Empty:
                break
            if row is None:
                return group, False
            group.append(row)
        return group, True

    def _write(self, served: list[ServedRequest], reports: list[_Report]) -> None:
        """Write a group at once; where that fails, piece by piece, so that no report spoils the rest."""
        try:
            outcomes = [report.outcomes for report in reports]
            receipts = self._events.append_group(served, outcomes, learn=self._clicks.learn)
        except Exception as error:  # noqa: BLE001 - a door: whatever the store says, the rows must not be lost
            _log.warning("a group is written piece by piece rows=%d problem=%r", len(served) + len(reports), error)
            self._write_served(served, reports)
            for report in reports:
                self._write_report(report)
        else:
            self._count(served)
            for report, receipt in zip(reports, receipts, strict=True):
                report.resolve(receipt)

    def _write_served(self, served: list[ServedRequest], reports: list[_Report]) -> None:
        """Write answers, again and again while the store cannot take them; the queue fills meanwhile.

        Feedback has a sender who can try again, and who would otherwise wait for as long: from the second failure on
        it is refused with what the store said, that of this group and what waits in the queue included.
        """
        failures = 0
        while served:
            try:
                self._events.append_requests(served)
            except Exception as error:  # noqa: BLE001 - a door: whatever the store says, the rows must not be lost
                _log.warning("answers wait rows=%d problem=%r", len(served), error)
                failures += 1
                if failures >= _TURNED_AWAY_AFTER:
                    self._turn_away(error, reports)
            else:
                self._trouble = None
                self._count(served)
                return
            if self._is_stopping:
                self.lost += len(served)
                _log.error("answers lost rows=%d", len(served))
                return
            time.sleep(_RETRY_SECONDS)

    def _turn_away(self, error: Exception, reports: list[_Report]) -> None:
        """Refuse feedback until the store takes answers again."""
        self._trouble = error
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]  # no other thread takes from it
        for row in (*reports, *waiting):
            if isinstance(row, _Report):
                row.resolve(error)
            else:
                self._queue.put(row)
        reports.clear()

    def _write_report(self, report: _Report) -> None:
        try:
            receipts = self._events.append_group([], [report.outcomes], learn=self._clicks.learn)
        except Exception as error:  # noqa: BLE001 - a door: the waiting client gets the error, the thread goes on
            report.resolve(error)
        else:
            report.resolve(receipts[0])

    def _count(self, served: list[ServedRequest]) -> None:
        if served:
            self.written += len(served)
            first = served[0]  # its timestamp is the moment at which it was asked for
            self.lag.observe((datetime.now(UTC) - first.timestamp).total_seconds() - first.latency_seconds)
