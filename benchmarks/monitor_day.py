"""What a monitor run costs on a day of a million interactions: `python -m benchmarks.monitor_day`.

Both worlds are synthetic: 60 days, the newest of 1,000,000 events after days of 10,000; and 60 days of `--rows` each,
where `MonitorConfig.rows` bounds what is read. Each day has as many impressions as events, and an outcome for one in
twenty. The run is the flow's judging and its reports, without a Prefect server, in a process of its own over a lake of
its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from infra.lake import Lake
from recmodels.data import schema

MOST_SECONDS = 60.0
MOST_MB = 2048.0
DAYS = 60
_DAY = 86_400_000_000
_LIST = 10
_SHOWN_A_CLICK = 20


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        world: What was in the lake.
        rows: Events in the lake; there are as many impressions.
        share: Share of the users whose events were read.
        figures: Figures judged.
        judge_seconds: CPU of the judging.
        cpu_seconds: CPU of the whole process, imports and reports included.
        peak_mb: Largest resident memory.
        holds: Both limits are kept.
    """

    world: str
    rows: int
    share: float
    figures: int
    judge_seconds: float
    cpu_seconds: float
    peak_mb: float
    holds: bool


def main(arguments: list[str] | None = None) -> int:
    """Measure both worlds, print the table; 0 when both keep the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=200_000, help="rows of each day of the second world; 0 leaves it out"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run is not None:
        print(json.dumps(run(options.run)))
        return 0
    worlds = {"1,000,000 rows after 59 days of 10,000": [10_000] * (DAYS - 1) + [1_000_000]}
    if options.rows:
        worlds[f"60 days of {options.rows:,}"] = [options.rows] * DAYS
    costs = [measure(name, counts) for name, counts in worlds.items()]
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=1))
    else:
        _print(costs)
    return 0 if all(cost.holds for cost in costs) else 1


def measure(name: str, counts: list[int]) -> Cost:
    """Write a lake of so many rows a day, and judge it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_lake(home / "lake", counts)
        command = (sys.executable, "-m", "benchmarks.monitor_day", "--run", str(home))
        environment = {**os.environ, "EVERFEED_HOME": folder, "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the run over {name!r} ended with {done.returncode}: {done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
    holds = found["cpu_seconds"] <= MOST_SECONDS and found["peak_mb"] <= MOST_MB
    return Cost(world=name, rows=sum(counts), holds=holds, **found)


def write_lake(path: Path, counts: list[int], *, seed: int = 0) -> None:
    """Write so many events and impressions a day, what came of these, and the items, day by day."""
    lake, rng = Lake(str(path)), np.random.default_rng(seed)
    items: dict[str, object] = {
        schema.ITEM_ID: [f"i{n}" for n in range(20_000)],
        schema.CATEGORY: [f"k{n % 12}" for n in range(20_000)],
    }
    items |= {schema.CREATOR_ID: [f"c{n % 900}" for n in range(20_000)], schema.SAFETY: ["ok"] * 20_000}
    lake.replace("items", _in_schema(items, schema.ITEMS, 20_000))
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=len(counts))
    for number, count in enumerate(counts):
        day = first + timedelta(days=number)
        lake.append("interactions", _events(day, number, count, rng))
        impressions = _impressions(day, number, count, rng)
        lake.append("impressions", impressions)
        lake.append("outcomes", _outcomes(impressions, number))


def run(home: Path) -> dict[str, float]:
    """Judge and draw as the flow does, and return what that took."""
    from flows.monitor import MonitorConfig, draw, judge_window

    assert home.is_dir(), "the lake was written before"
    start = _cpu_seconds()
    judged = judge_window.fn(MonitorConfig(), None)
    judging = _cpu_seconds() - start
    drawn = draw.fn(MonitorConfig(), None)
    assert drawn.report is not None, drawn.missing
    return {
        "share": judged.share,
        "figures": len(judged.all_results),
        "judge_seconds": round(judging, 1),
        "cpu_seconds": round(_cpu_seconds(), 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _events(day: datetime, number: int, count: int, rng: np.random.Generator) -> pa.Table:
    columns: dict[str, object] = {
        schema.EVENT_ID: np.char.add(f"{number}-", np.arange(count).astype(str)).tolist(),
        schema.USER_ID: np.char.add("u", rng.integers(count // 8, size=count).astype(str)).tolist(),
        schema.ITEM_ID: _items(count, rng),
        schema.TIMESTAMP: _times(day, count, rng),
        schema.SURFACE: _surfaces(count, rng),
        schema.WATCH_SECONDS: np.exp(2 + rng.normal(size=count)),
        schema.CLICKED: rng.random(count) < 0.3,
        schema.LIKED: rng.random(count) < 0.05,
        schema.ORIGIN: ["event"] * count,
    }
    return _in_schema(columns, schema.INTERACTIONS, count)


def _impressions(day: datetime, number: int, count: int, rng: np.random.Generator) -> pa.Table:
    """Return lists of ten items, shown by the champion."""
    request = np.repeat(np.arange(-(-count // _LIST)), _LIST)[:count]
    key = rng.integers(count // 8, size=request[-1] + 1)[request]
    columns: dict[str, object] = {
        schema.REQUEST_ID: [f"{number:011x}-{one:020x}" for one in request.tolist()],  # as long as the gateway's
        schema.TIMESTAMP: _times(day, count, rng),
        schema.USER_KEY: [f"{one * 2654435761 % 16**8:08x}{one:024x}" for one in key.tolist()],
        schema.SURFACE: _surfaces(count, rng),
        schema.MODEL_VERSION: ["1"] * count,
        schema.ARM: ["champion"] * count,
        schema.POSITION: np.arange(count) % _LIST,
        schema.ITEM_ID: _items(count, rng),
        schema.SCORE: rng.random(count),
        schema.PROPENSITY: np.ones(count),
        schema.IS_FALLBACK: np.zeros(count, dtype=bool),
        schema.LATENCY_SECONDS: np.exp(rng.normal(-5, 0.3, size=request[-1] + 1))[request],
        schema.ORIGIN: ["event"] * count,
    }
    return _in_schema(columns, schema.IMPRESSIONS, count)


def _outcomes(impressions: pa.Table, number: int) -> pa.Table:
    clicked = impressions.take(pa.array(np.arange(0, impressions.num_rows, _SHOWN_A_CLICK)))
    columns: dict[str, object] = {
        **{name: clicked[name] for name in (schema.REQUEST_ID, schema.ITEM_ID, schema.TIMESTAMP)},
        schema.EVENT_ID: [f"{number}-{n}" for n in range(clicked.num_rows)],
        schema.KIND: [schema.CLICKED] * clicked.num_rows,
        schema.VALUE: np.ones(clicked.num_rows),
    }
    arrays = [columns[field.name] for field in schema.OUTCOMES]
    return pa.table(arrays, schema=schema.OUTCOMES)


def _items(count: int, rng: np.random.Generator) -> list[str]:
    item = (20_000 * rng.random(count) ** 3).astype(np.int64)
    names: list[str] = np.char.add("i", item.astype(str)).tolist()
    return names


def _surfaces(count: int, rng: np.random.Generator) -> list[str]:
    names: list[str] = np.asarray(["video", "live", "search"])[rng.choice(3, size=count, p=(0.6, 0.3, 0.1))].tolist()
    return names


def _times(day: datetime, count: int, rng: np.random.Generator) -> pa.Array:
    micros = int(day.timestamp() * 1e6) + np.sort(rng.integers(_DAY, size=count))
    return pa.array(micros, pa.timestamp("us", tz="UTC"))


def _in_schema(columns: dict[str, object], target: pa.Schema, size: int) -> pa.Table:
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(size, f.type) for f in target]
    return pa.table(arrays, schema=target)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _print(costs: list[Cost]) -> None:
    table = Table(
        "world", "rows", "users read", "figures", "judging CPU s", "CPU s (<= 60)", "peak MB (<= 2048)", "holds"
    )
    for cost in costs:
        cells = (cost.world, f"{cost.rows:,}", f"{cost.share:.0%}", str(cost.figures), f"{cost.judge_seconds:.1f}")
        table.add_row(*cells, f"{cost.cpu_seconds:.1f}", f"{cost.peak_mb:.0f}", "yes" if cost.holds else "NO")
    Console(width=170).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
