"""The parent of the gateway's workers: holds the listening socket, starts them, and replaces those that leave or die.

It imports the standard library alone. uvicorn's own supervisor (0.54) was left aside: it pickles the application's
settings, replaces a worker only after it has ended, restarts without a pause one that dies as soon as it is ready,
and tells a worker to stop in the same way whether or not others go on.

A worker and its parent share two pipes. The worker writes one letter for what happens to it: ready, alive, leaving.
The other one, the lifeline, never carries anything: it ends when the parent stops the gateway, or dies.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

READY, ALIVE, LEAVING = b"r", b"a", b"l"

UNUSABLE = 2
"""Exit code of a worker that no restart would help: the settings or the store cannot be used."""

_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Pause before a new worker, by how many in a row ended before they were ready."""

_START_SECONDS = 120.0
"""How long a worker may take until it is ready: it loads the models."""

_SILENT_SECONDS = 30.0
"""A worker that says nothing for so long is hung, and is killed."""

_LEAVE_SECONDS = 30.0
"""How long a worker that is replaced may take to finish."""

_STOP_SECONDS = 12.0
"""How long all of them may take when the gateway stops; less than whoever stops the gateway waits."""

_TICK_SECONDS = 0.5


@dataclass(eq=False)
class _Worker:
    """One worker process.

    Attributes:
        process: The process.
        place: The lowest number that no other worker has.
        lifeline: End to close when the gateway stops.
        news: End to read letters from.
        successor_of: The worker that leaves once this one is ready.
        until: When it is killed, in seconds of the monotonic clock, unless it is heard of before.
        is_ready: It has answered requests.
        is_leaving: It finishes what it has and takes nothing new.
    """

    process: subprocess.Popen[bytes]
    place: int
    lifeline: int
    news: int
    successor_of: "_Worker | None"
    until: float
    is_ready: bool = False
    is_leaving: bool = False


@dataclass(eq=False)
class Parent:
    """Keeps a number of workers on one listening socket.

    Args:
        command: Starts a worker; what is appended: the descriptors in `shared`, its place, the lifeline, the news pipe.
        shared: Descriptors that every worker gets, such as the listening socket's.
        count: How many workers.
    """

    command: Sequence[str]
    shared: Sequence[int]
    count: int
    _workers: list[_Worker] = field(default_factory=list)
    _to_replace: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _failures: int = 0
    _not_before: float = 0.0
    _was_ready: bool = False
    _is_stopping: bool = False
    _code: int = 0

    def run(self) -> int:
        """Keep the workers until SIGTERM or SIGINT; SIGHUP replaces them one after the other.

        Returns:
            0, or 2 where the first worker said that the settings or the store cannot be used.
        """
        signals = _signal_pipe()
        self._selector.register(signals, selectors.EVENT_READ)
        while not self._is_stopping or self._workers:
            self._keep()
            ready = {key.fd for key, _ in self._selector.select(_TICK_SECONDS)}
            # first, and whether ready or not: a stop for the whole group may have come just after a worker said that it
            # leaves, and must not start another
            self._obey(_read(signals))
            for worker in list(self._workers):
                if worker.news in ready:
                    self._hear(worker)
        return self._code

    def _keep(self) -> None:
        """Bury the dead, kill the hung, and start what is missing."""
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.process.poll() is not None:
                self._bury(worker, now)
            elif now > worker.until:
                _log.error("worker %d is silent or late, and is killed", worker.process.pid)
                worker.process.kill()
        if self._is_stopping:
            return
        while sum(not worker.is_leaving for worker in self._workers) < self.count and now >= self._not_before:
            self._start()
        self._replace_next()

    def _replace_next(self) -> None:
        is_busy = any(worker.is_leaving or not worker.is_ready for worker in self._workers)
        while self._to_replace and not is_busy:
            former = self._to_replace.pop(0)
            if former in self._workers:
                self._start(successor_of=former)
                return

    def _start(self, *, successor_of: _Worker | None = None) -> None:
        lifeline_read, lifeline = os.pipe()
        news, news_write = os.pipe()
        place = min(set(range(len(self._workers) + 1)) - {worker.place for worker in self._workers})
        arguments = map(str, (*self.shared, place, lifeline_read, news_write))
        inherited = (*self.shared, lifeline_read, news_write)
        process = subprocess.Popen((*self.command, *arguments), pass_fds=inherited)  # noqa: S603 - our own
        os.close(lifeline_read)
        os.close(news_write)
        _log.info("worker %d started", process.pid)
        self._workers.append(_Worker(process, place, lifeline, news, successor_of, time.monotonic() + _START_SECONDS))
        self._selector.register(news, selectors.EVENT_READ)

    def _hear(self, worker: _Worker) -> None:
        letters = os.read(worker.news, 512)
        if not letters:
            self._selector.unregister(worker.news)  # it closed its end: it ends, or has ended
            return
        now = time.monotonic()
        if not worker.is_leaving:
            worker.until = now + _SILENT_SECONDS
        if READY in letters:
            worker.is_ready = self._was_ready = True
            self._failures, self._not_before = 0, 0.0
            _log.info("worker %d is ready", worker.process.pid)
            if worker.successor_of is not None:
                worker.successor_of.process.send_signal(signal.SIGTERM)
                self._let_go(worker.successor_of, now)
                worker.successor_of = None
        if LEAVING in letters:
            self._let_go(worker, now)

    def _let_go(self, worker: _Worker, now: float) -> None:
        """Count on a worker no longer: it leaves by itself, or was told to and may not have heard of it yet."""
        if not worker.is_leaving:
            worker.is_leaving, worker.until = True, now + _LEAVE_SECONDS
            _log.info("worker %d leaves", worker.process.pid)

    def _bury(self, worker: _Worker, now: float) -> None:
        self._workers.remove(worker)
        if worker.news in self._selector.get_map():
            self._selector.unregister(worker.news)
        os.close(worker.news)
        if not self._is_stopping:
            os.close(worker.lifeline)
        code = worker.process.returncode
        _log.log(logging.INFO if worker.is_leaving else logging.WARNING, "worker %d: code %d", worker.process.pid, code)
        if worker.is_leaving or self._is_stopping:
            return
        if code == UNUSABLE and not self._was_ready:
            self._code = code
            self._stop()
        elif worker.successor_of is not None:
            _log.error("a replacement ended before it was ready; the workers that run go on")
            self._to_replace.clear()
        pause = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += not worker.is_ready
        self._not_before = now + pause

    def _obey(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop()
        elif signal.SIGHUP in numbers:
            self._to_replace = [worker for worker in self._workers if not worker.is_leaving]

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        for worker in self._workers:
            os.close(worker.lifeline)
            worker.process.send_signal(signal.SIGTERM)  # for one that does not watch its lifeline yet
            worker.until = time.monotonic() + _STOP_SECONDS


def _signal_pipe() -> int:
    """Return the end of a pipe that carries the numbers of the signals which this process gets."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(writing)
    return reading


def _read(signals: int) -> bytes:
    try:
        return os.read(signals, 512)
    except BlockingIOError:
        return b""


def main() -> int:
    """Run as `python -m infra.serving.parent <workers> <shared descriptors>`, which `infra.serving.main` becomes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    count, *shared = (int(argument) for argument in sys.argv[1:])
    return Parent((sys.executable, "-m", "infra.serving.worker"), shared, count).run()


if __name__ == "__main__":
    sys.exit(main())
