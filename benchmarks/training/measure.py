"""How the ways of doing something are timed: in turn, each round once, by CPU time."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: Repetitions of each way.
        share: Of the full size.
        threads: Of each way.
        seed: Of the synthetic data.
    """

    rounds: int = 3
    share: float = 1.0
    threads: int = 1
    seed: int = 20261122

    def sized(self, full: int) -> int:
        """Return a share of a full size, at least 1."""
        return max(1, round(self.share * full))


@dataclass(frozen=True)
class Cost:
    """What one run took, in seconds; CPU time is that of all threads."""

    cpu: float
    wall: float


def timed(call: Callable[[], object]) -> Cost:
    """Run something in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def in_turn(ways: Mapping[str, Callable[[], Cost]], *, rounds: int) -> dict[str, list[Cost]]:
    """Run every way once a round."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            costs[name].append(way())
    return costs


def ratio(costs: Mapping[str, list[Cost]], way: str, floor: str) -> float:
    """Return the median over rounds of the CPU time of one way to that of another."""
    return median(one.cpu / other.cpu for one, other in zip(costs[way], costs[floor], strict=True))


def words(costs: Mapping[str, list[Cost]]) -> str:
    """Return the medians of every way, for a note."""
    return "; ".join(
        f"{name} {median(one.cpu for one in found):.3g} CPU s, {median(one.wall for one in found):.3g} s"
        for name, found in costs.items()
    )


def in_a_process(module: str, *arguments: str, threads: int) -> dict[str, float]:
    """Run a module of the benchmark with these arguments, and return the JSON object that it prints last."""
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "POLARS_MAX_THREADS"), str(threads))}
    command = (sys.executable, "-m", f"benchmarks.training.{module}", *arguments)
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found
