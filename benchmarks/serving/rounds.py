"""Servers measured in turn, A B A B, so that what the machine does meanwhile falls on all of them alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.client import closed_loop, run
from benchmarks.serving.figures import Spread
from benchmarks.serving.plan import Plan, say
from benchmarks.serving.servers import Server

CONNECTIONS = 16
_REFUSED_SHARE = 0.02  # a gateway whose machine does other things refuses a few; they count as no answer
_REFUSED_SHARE_QUICK = 0.5


@dataclass(frozen=True)
class Target:
    """A server and what it is sent.

    Attributes:
        server: The server.
        requests: Prebuilt requests, which come round again.
        total: How many are sent a round.
        connections: How many at once.
    """

    server: Server
    requests: Sequence[bytes]
    total: int
    connections: int = CONNECTIONS


@dataclass(frozen=True)
class Sample:
    """One round of one server.

    Attributes:
        cpu_us: Processor time of the server, user and system, a request, in microseconds.
        wall_us: Wall time a request, in microseconds.
        p50_ms: Median latency.
        p99_ms: 99th percentile of the latency.
        client_share: Share of a core that the client took.
    """

    cpu_us: float
    wall_us: float
    p50_ms: float
    p99_ms: float
    client_share: float


def interleave(targets: Mapping[str, Target], plan: Plan) -> dict[str, list[Sample]]:
    """Measure each server once a round, after a round that warms up.

    Raises:
        RuntimeError: More than 2 % of the requests were not answered with 200: something else would be compared.
    """
    for name, target in targets.items():
        _measure(name, target, total=max(target.total // 5, target.connections), refused=1.0)
    samples: dict[str, list[Sample]] = {name: [] for name in targets}
    refused = _REFUSED_SHARE_QUICK if plan.is_quick else _REFUSED_SHARE
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}: {', '.join(targets)}")
        for name, target in targets.items():
            samples[name].append(_measure(name, target, total=target.total, refused=refused))
    return samples


def cpu(samples: Sequence[Sample]) -> list[float]:
    """Return processor time a request, a round."""
    return [sample.cpu_us for sample in samples]


def describe(name: str, samples: Sequence[Sample]) -> str:
    """Write one server's rounds for a note."""
    middle = Spread.of(cpu(samples)).words(digits=0, unit="us CPU")
    wall = Spread.of([sample.wall_us for sample in samples]).middle
    p50 = Spread.of([sample.p50_ms for sample in samples]).middle
    share = Spread.of([sample.client_share for sample in samples]).middle
    return f"{name} {middle}, {wall:.0f} us wall, p50 {p50:.2f} ms, client {share:.0%} of a core"


def _measure(name: str, target: Target, *, total: int, refused: float) -> Sample:
    before = target.server.cpu_seconds()
    load = run(closed_loop(target.server.port, target.requests, connections=target.connections, total=total))
    spent = target.server.cpu_seconds() - before
    good = load.statuses.count(200)
    if total - good > refused * total:
        statuses = sorted(set(load.statuses))
        raise RuntimeError(f"{name}: {total - good} of {total} requests were not answered with 200 but with {statuses}")
    return Sample(
        cpu_us=spent / max(good, 1) * 1e6,
        wall_us=load.wall_seconds / max(good, 1) * 1e6,
        p50_ms=load.milliseconds(0.5),
        p99_ms=load.milliseconds(0.99),
        client_share=load.client_share,
    )
