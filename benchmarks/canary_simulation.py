"""Targets of the canary's judge beside what simulated rollouts measure: `python -m benchmarks.canary_simulation`.

The rollouts are drawn here, the bounds, e-values and verdicts are those of `monitoring.canary`. 200 repetitions by
default; `--full` takes 1000 and goes on where it was stopped.
"""

import argparse
import hashlib
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.canary_figures import FIGURES, SCENARIOS, Rollout, roll_out
from benchmarks.canary_worlds import CLICKS_A, CLICKS_B
from benchmarks.table import Figure, report
from monitoring.canary import GUARDRAILS, Action, ArmUnits, CanaryConfig, Evidence, judge

SEED = 20261121
CHUNK = 25
DEFAULT_STATE = Path(".everfeed/benchmarks/canary_simulation.jsonl")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FAULTS = ("silent", "stale", "NaN", "no traffic", "outcomes silent")


def main(arguments: list[str] | None = None) -> int:
    """Run the simulation and print the table; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=200, help="rollouts of a kind (default 200)")
    parser.add_argument("--full", action="store_true", help="1000 repetitions, resumable")
    parser.add_argument("--state", type=Path, help=f"file that finished chunks are kept in (--full: {DEFAULT_STATE})")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    options = parser.parse_args(arguments)
    repetitions = 1000 if options.full else options.repetitions
    state = options.state or (DEFAULT_STATE if options.full else None)
    figures = measure(repetitions, state=state)
    if not options.json:
        print(f"{repetitions} repetitions of the long rollouts, more of the short ones, seed {SEED}.\n")
    return report(figures, as_json=options.json)


def measure(repetitions: int, *, state: Path | None = None) -> list[Figure]:
    """Roll out every scenario and return the lines of the table."""
    results = rollouts(repetitions, state=state)
    return [line(results) for line in FIGURES] + [promotions_without_data()]


def rollouts(repetitions: int, *, state: Path | None = None) -> dict[str, list[Rollout]]:
    """Roll out every scenario so many times; chunks that the state file holds are taken from it."""
    kept = _read_state(state)
    results: dict[str, list[Rollout]] = {name: [] for name in SCENARIOS}
    chunks = list(_chunks(repetitions))
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("rollouts", total=sum(size for _, _, size in chunks))
        for name, chunk, size in chunks:
            progress.update(task, description=name)
            key = f"{_version()}/{name}/{chunk}/{size}"
            if key not in kept:
                kept[key] = _roll_out_chunk(name, chunk, size)
                _append_state(state, key, kept[key])
            results[name].extend(kept[key])
            progress.advance(task, size)
    return results


def promotions_without_data(each: int = 100) -> Figure:
    """Break evidence that would promote in one way each, and count what `judge` still promotes."""
    config = CanaryConfig(steps=(0.5,))
    promoted = sound = 0
    for seed in range(each):
        evidence = _promotable(np.random.default_rng([SEED, seed]))
        sound += judge(evidence, step=0, config=config, now=NOW).action is Action.PROMOTE
        for fault in FAULTS:
            verdict = judge(_broken(evidence, fault), step=0, config=config, now=NOW)
            promoted += verdict.action is Action.PROMOTE
    note = f"{each} each of {', '.join(FAULTS)}; the same evidence unbroken was promoted {sound} of {each} times"
    total = each * len(FAULTS)
    holds = promoted == 0 and sound == each
    return Figure("promotions without good data", f"0 of {total}", f"{promoted} of {total}", holds, note)


def _promotable(rng: np.random.Generator) -> Evidence:
    arms = []
    for effect in (1.5, 1.0):
        impressions = 1.0 + rng.poisson(4.0, 5000)
        rate = np.minimum(effect * rng.beta(CLICKS_A, CLICKS_B, impressions.size), 1.0)
        reward = rng.binomial(impressions.astype(np.int64), rate).astype(float)
        flags = {name: rng.random(impressions.size) < 0.01 for name in GUARDRAILS}
        arms.append(ArmUnits(impressions, reward, flags=flags, requests=impressions.size))
    hours = timedelta(hours=1)
    return Evidence(*arms, 5000, 5000, NOW, step_started_at=NOW - 2 * hours, deadline_at=NOW + 24 * hours)


def _broken(evidence: Evidence, fault: str) -> Evidence:
    canary, control = evidence.canary, evidence.control
    if fault == "silent":
        return replace(evidence, newest_at=None)
    if fault == "stale":
        return replace(evidence, newest_at=NOW - timedelta(hours=1))
    if fault == "NaN":
        reward = canary.reward.copy()
        reward[0] = np.nan
        return replace(evidence, canary=replace(canary, reward=reward))
    if fault == "no traffic":
        none = np.empty(0)
        empty = ArmUnits(none, none, flags={name: none.astype(bool) for name in GUARDRAILS})
        return replace(evidence, canary=empty, control=empty, assigned_canary=0, assigned_control=0)
    return replace(evidence, control=replace(control, reward=np.zeros_like(control.reward)))


def _chunks(repetitions: int) -> Iterator[tuple[str, int, int]]:
    for name, scenario in SCENARIOS.items():
        total = repetitions * scenario.factor
        for chunk, start in enumerate(range(0, total, CHUNK * scenario.factor)):
            yield name, chunk, min(CHUNK * scenario.factor, total - start)


def _roll_out_chunk(name: str, chunk: int, size: int) -> list[Rollout]:
    rng = np.random.default_rng([SEED, zlib.crc32((SCENARIOS[name].stream or name).encode()), chunk])
    return [roll_out(SCENARIOS[name], rng) for _ in range(size)]


@cache
def _version() -> str:
    """Return a hash of the judge and of the simulation: results of other code are not taken up."""
    root = Path(__file__).resolve().parent.parent
    files = sorted([*root.glob("monitoring/canary/*.py"), *root.glob("benchmarks/canary_*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _read_state(state: Path | None) -> dict[str, list[Rollout]]:
    if state is None or not state.exists():
        return {}
    kept = {}
    for line in state.read_text().splitlines():
        if line.endswith("}"):  # an interrupted write leaves half a line
            entry = json.loads(line)
            kept[entry["key"]] = [Rollout(*values) for values in entry["rollouts"]]
    return kept


def _append_state(state: Path | None, key: str, rollouts: list[Rollout]) -> None:
    if state is None:
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    values = [[r.rolled_back_at, r.rule, r.promoted_at] for r in rollouts]
    with state.open("a") as file:
        file.write("\n" + json.dumps({"key": key, "rollouts": values}))  # whatever the line before was cut off at


if __name__ == "__main__":
    sys.exit(main())
