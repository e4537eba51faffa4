"""The parent with workers that serve nothing: they only tell what happens to them, as a real one does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

_PARENT = """
import logging, sys
from infra.serving.parent import Parent
logging.basicConfig(level=logging.INFO)
sys.exit(Parent((sys.executable, "-S", "-c", sys.argv[1]), (), int(sys.argv[2])).run())
"""
_WORKER = """
import os, select, signal, sys
lifeline, news = int(sys.argv[-2]), int(sys.argv[-1])
leaving = []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(1))
os.write(news, b"r")
while not leaving and not select.select([lifeline], [], [], 0.02)[0]:
    os.write(news, b"a")
os.write(news, b"l")
"""
_STOPPED_MEANWHILE = (
    """
import os, selectors, signal, sys
from pathlib import Path
class Selector(selectors.DefaultSelector):
    def select(self, timeout=None):
        ready = super().select(timeout)
        if Path("leaves").exists():  # a signal that comes when the kernel has already said what is ready
            Path("leaves").unlink()
            os.kill(os.getpid(), signal.SIGTERM)
        return ready
selectors.DefaultSelector = Selector
"""
    + _PARENT
)
_LEAVES = """
import os, sys, time
from pathlib import Path
news = int(sys.argv[-1])
os.write(news, b"r")
time.sleep(0.3)
Path("leaves").touch()
os.write(news, b"l")
time.sleep(0.3)
"""
_SLOW_TO_LEAVE = _WORKER + "import time\ntime.sleep(1.0)\n"
_SLOW_TO_HEAR = _WORKER.replace('os.write(news, b"l")', 'import time; time.sleep(0.7); os.write(news, b"l")')
_ROOT = Path(__file__).parent.parent.parent.parent


def until(is_so: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def workers(parent: subprocess.Popen[bytes]) -> set[int]:
    children = psutil.Process(parent.pid).children()
    return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}


def log_of(path: Path) -> str:
    return path.read_text()


@contextmanager
def parent_of(worker: str, log: Path, *, count: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        parent = subprocess.Popen((sys.executable, "-c", _PARENT, worker, str(count)), cwd=_ROOT, stderr=stream)
    try:
        yield parent
    finally:
        family = [psutil.Process(pid) for pid in workers(parent)] if parent.poll() is None else []
        parent.kill()
        parent.wait()
        for process in family:
            if process.is_running():
                process.kill()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def wait_ready(log: Path, times: int) -> None:
    until(lambda: log_of(log).count("is ready") >= times)


def test_starts_the_workers_and_ends_with_code_0_and_none_left_when_it_is_told_to_stop(log: Path) -> None:
    with parent_of(_WORKER, log) as parent:
        wait_ready(log, 2)
        pids = workers(parent)
        assert len(pids) == 2
        parent.send_signal(signal.SIGTERM)

        assert parent.wait(10) == 0

    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_worker_that_is_killed_is_replaced(log: Path) -> None:
    with parent_of(_WORKER, log) as parent:
        wait_ready(log, 2)
        before = workers(parent)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)

        wait_ready(log, 3)

        after = workers(parent)
        assert len(after) == 2
        assert after & before == before - {victim}


def test_a_replacement_starts_while_the_worker_that_leaves_still_finishes(log: Path) -> None:
    with parent_of(_SLOW_TO_LEAVE, log, count=1) as parent:
        wait_ready(log, 1)
        (leaving,) = workers(parent)
        os.kill(leaving, signal.SIGTERM)

        wait_ready(log, 2)

        assert leaving in workers(parent)
        assert len(workers(parent)) == 2
        until(lambda: leaving not in workers(parent))
        assert len(workers(parent)) == 1


@pytest.mark.parametrize("worker", [_WORKER, _SLOW_TO_HEAR], ids=["at-once", "slow-to-hear"])
def test_a_hang_up_replaces_all_workers_and_never_has_fewer_ready_ones(log: Path, worker: str) -> None:
    with parent_of(worker, log) as parent:
        wait_ready(log, 2)
        before = workers(parent)
        parent.send_signal(signal.SIGHUP)

        wait_ready(log, 4)
        until(lambda: len(workers(parent)) == 2)

        assert not workers(parent) & before
    words = [line for line in log_of(log).splitlines() if "ready" in line or "leaves" in line]
    balance = [sum(1 if "ready" in word else -1 for word in words[: place + 1]) for place in range(len(words))]
    assert balance == [1, 2, 3, 2, 3, 2]  # the new one is ready before the old one leaves


def test_workers_end_by_themselves_when_the_parent_is_killed(log: Path) -> None:
    with parent_of(_WORKER, log) as parent:
        wait_ready(log, 2)
        pids = workers(parent)
        parent.kill()
        parent.wait()

        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_pauses_longer_and_longer_when_workers_die_before_they_are_ready(log: Path) -> None:
    with parent_of("import sys; sys.exit(1)", log, count=1) as parent:
        time.sleep(2.5)
        started = log_of(log).count("started")
        assert parent.poll() is None

    assert 2 <= started <= 4  # at 0, 0.1, 0.6 and 1.6 s, and the time that a start takes


def test_gives_up_with_code_2_when_the_first_worker_says_that_nothing_helps(log: Path) -> None:
    with parent_of("import sys; sys.exit(2)", log) as parent:
        assert parent.wait(10) == 2


def test_a_replacement_that_cannot_start_leaves_the_old_workers_alone(log: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    worker = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.exit(1)\n" + _WORKER
    with parent_of(worker, log) as parent:
        wait_ready(log, 2)
        before = workers(parent)
        broken.touch()
        parent.send_signal(signal.SIGHUP)

        until(lambda: "a replacement ended before it was ready" in log_of(log))

        assert workers(parent) == before


def test_is_small(log: Path) -> None:
    with parent_of(_WORKER, log) as parent:
        wait_ready(log, 2)

        assert psutil.Process(parent.pid).memory_info().rss < 20 * 2**20


def test_no_worker_is_started_when_a_stop_comes_just_after_one_said_that_it_leaves(tmp_path: Path) -> None:
    command = (sys.executable, "-c", _STOPPED_MEANWHILE, _LEAVES, "1")
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, timeout=30, check=True
    )
    assert ended.stderr.count("started") == 1
