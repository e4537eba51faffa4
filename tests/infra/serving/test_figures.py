"""Workers' figures in one memory: added up, kept over a restart, never read half."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from infra.serving.figures import BYTES, SharedFigures
from infra.serving.metrics import Counter, Figures, Gauge, Histogram, Metric, combined, figures_of, render


@pytest.fixture
def memory() -> Iterator[int]:
    with tempfile.TemporaryFile() as made:
        made.truncate(BYTES)
        yield made.fileno()


class Worker:
    """One worker's metrics."""

    def __init__(self, memory: int, place: int) -> None:
        self.shared = SharedFigures(memory, offset=0, place=place)
        self.requests = Counter("requests", "Requests.", ("status",))
        self.seconds = Histogram("seconds", "Time.", bounds=(0.1, 1.0))
        self.depth = 0
        self.metrics: list[Metric] = [
            self.requests,
            self.seconds,
            Gauge("depth", "Depth.", lambda: self.depth),
            Gauge("reachable", "Reachable.", lambda: self.depth == 0, combine=min),
        ]

    def publish(self) -> None:
        self.shared.publish(figures_of(self.metrics))

    def lines(self) -> list[str]:
        return render(combined(self.metrics, self.shared.before_and_others()), facts={}).splitlines()


def test_adds_up_what_all_workers_counted(memory: int) -> None:
    first, second = Worker(memory, 0), Worker(memory, 1)
    first.requests.add("200", amount=3)
    second.requests.add("200", amount=4)
    second.requests.add("503")
    for worker, value in ((first, 0.05), (second, 0.5), (second, 7.0)):
        worker.seconds.observe(value)
    first.depth, second.depth = 0, 5
    second.publish()

    lines = first.lines()

    assert 'requests_total{status="200"} 7' in lines
    assert 'requests_total{status="503"} 1' in lines
    assert [line for line in lines if line.startswith("seconds_")] == [
        'seconds_bucket{le="0.1"} 1',
        'seconds_bucket{le="1.0"} 2',
        'seconds_bucket{le="+Inf"} 3',
        "seconds_count 3",
        "seconds_sum 7.55",
    ]
    assert "depth 5" in lines
    assert "reachable 0" in lines


def test_counters_go_on_and_gauges_begin_anew_when_a_worker_takes_the_place_of_another(memory: int) -> None:
    before = Worker(memory, 0)
    before.requests.add("200", amount=10)
    before.depth = 9
    before.publish()

    after, other = Worker(memory, 0), Worker(memory, 1)
    after.requests.add("200", amount=1)

    assert 'requests_total{status="200"} 11' in after.lines()
    assert "depth 0" in after.lines()
    after.publish()
    assert 'requests_total{status="200"} 11' in other.lines()


def test_of_a_worker_that_is_gone_the_counters_stay_and_the_gauges_go(memory: int) -> None:
    code = (
        "import sys; from infra.serving.figures import SharedFigures; from infra.serving.metrics import Figures\n"
        "shared = SharedFigures(int(sys.argv[1]), offset=0, place=1)\n"
        "shared.publish(Figures({'requests': [(('200',), [6.0])]}, {'depth': 3.0, 'reachable': 0.0}))\n"
    )
    subprocess.run((sys.executable, "-c", code, str(memory)), pass_fds=(memory,), check=True)

    lines = Worker(memory, 0).lines()

    assert 'requests_total{status="200"} 6' in lines
    assert "depth 0" in lines
    assert "reachable 1" in lines


def test_never_reads_figures_that_are_half_written(memory: int) -> None:
    writer, reader = (SharedFigures(memory, offset=0, place=place) for place in (0, 1))
    texts = [Figures({"requests": [(("x" * size,), [float(size)])]}) for size in (1, 5_000, 40_000)]
    writer.publish(texts[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                writer.publish(text)
            stop.wait(0.001)  # a worker writes once a second: now and then a reader finds it at rest

    with ExitStack() as stack:
        thread = threading.Thread(target=write)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        found = [others[1] for _ in range(200) if len(others := reader.before_and_others()) > 1]

    assert found
    assert all(figures in texts for figures in found)
