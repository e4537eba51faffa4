"""What validation costs, compiled and on pandas: `python -m benchmarks.validation --rows 5000000`.

The same checks of the suite `interactions` on the same synthetic rows (seed 20261121; 200,000 users, 50,000 items, 60
days, one row in ten thousand broken in one of four ways) are run by Great Expectations with its metrics from one scan
of DuckDB, and with its metrics from pandas. Each run is a process of its own; they alternate. CPU seconds are user and
system time of all threads while the checks run; the import of Great Expectations (3 s) is left out of both, and so is
finding the broken rows, which is the same for both and has a line of its own. `files` checks those rules that have a
form in SQL on the columns themselves, over a Parquet file that is never read into memory. The target is for 5 million
rows: below that the fixed cost of Great Expectations (0.5 s for 47 checks) weighs more.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from monitoring.batches import prepare
from monitoring.checkpoint import Batch, run_checks
from monitoring.compiled import has_form
from monitoring.compiled_scan import Files
from monitoring.suite import ValidationContext
from recmodels.data import schema

SEED = 20261121
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 60
USERS, ITEMS = 200_000, 50_000
BROKEN = 10_000
"""One row in so many is broken."""
TARGET, TARGET_ROWS = 0.1, 5_000_000
PARTS = ("compiled", "pandas", "files")
T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        part: How the checks were run.
        checks: How many checks.
        cpu_seconds: User and system time of the checks.
        wall_seconds: Their wall time.
        sift_seconds: CPU time of finding the broken rows.
        peak_mb: Largest resident memory of the process, the table included.
        verdicts: What was found, for comparison: passed, and how many rows were unexpected, by check.
    """

    part: str
    checks: int
    cpu_seconds: float
    wall_seconds: float
    sift_seconds: float
    peak_mb: float
    verdicts: dict[str, list[bool | int | None]]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when the target holds and both ways gave the same verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of interactions (default 5,000,000)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        sys.stdout.write(json.dumps(asdict(_measure(options.part, options.data))))
        return 0
    with tempfile.TemporaryDirectory(prefix="everfeed-validation-") as folder:
        path = Path(folder) / "interactions.parquet"
        pq.write_table(interactions(options.rows), path, compression="zstd")
        runs = [_in_a_process(part, path) for _ in range(options.repeats) for part in PARTS]
    return _print(runs, rows=options.rows, as_json=options.json)


def interactions(rows: int) -> pa.Table:
    """Return synthetic interactions: a few clicks, exponential watch times, and some broken rows."""
    rng = np.random.default_rng(SEED)
    first, last = (int(moment.timestamp() * 1e6) for moment in (NOW - timedelta(days=DAYS), NOW))
    watched, durations = rng.exponential(20.0, rows), rng.uniform(5.0, 100.0, rows)
    items, users = rng.integers(0, ITEMS, rows), rng.integers(0, USERS, rows)
    kinds = np.where(rng.random(rows) < 1 / BROKEN, rng.integers(1, 5, rows), 0)
    watched = np.select([kinds == 1, kinds == 2], [-1.0, np.nan], watched)
    moments = pa.array(np.sort(rng.integers(first, last, rows))).cast(schema.TIMESTAMP_TYPE)
    columns = {
        schema.EVENT_ID: _ids("event-", np.arange(rows)),
        schema.USER_ID: pc.if_else(pa.array(kinds == 3), "", _ids("user-", users)),
        schema.ITEM_ID: _ids("item-", np.where(kinds == 4, ITEMS, items)),
        schema.TIMESTAMP: moments,
        schema.SURFACE: pa.array(np.array(schema.SURFACES)[rng.integers(0, 3, rows)]),
        schema.QUERY: pa.nulls(rows, pa.string()),
        schema.WATCH_SECONDS: pa.array(watched, from_pandas=False),
        schema.DURATION_SECONDS: pa.array(durations),
        schema.RATING: pa.nulls(rows, pa.float64()),
        **{name: pa.array(rng.random(rows) < 0.1) for name in schema.FEEDBACK_COLUMNS},
        schema.EXPOSED_AT: moments,
        schema.ORIGIN: pa.repeat(pa.scalar(schema.ORIGIN_EVENT), rows),
    }
    return pa.table(columns, schema=schema.INTERACTIONS)


def _ids(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _measure(part: str, path: Path) -> Cost:
    table = next(pq.ParquetFile(path).iter_batches(1000)) if part == "files" else pq.read_table(path)
    table = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
    context = ValidationContext(
        as_of=NOW,
        item_ids=_ids("item-", np.arange(ITEMS)),
        rating_range=(1.0, 5.0),
        label_columns=(schema.CLICKED,),
    )
    prepared, sift_seconds, _ = _timed(lambda: prepare(table, name="interactions", context=context))
    batches = list(prepared.batches)
    if part == "files":
        batches = [_on_files(batch, path) for batch in batches if batch.part == "rows"]
    run_checks([], now=NOW, site=None)
    checked, cpu_seconds, wall_seconds = _timed(
        lambda: run_checks(batches, now=NOW, site=None, is_compiled=part != "pandas")
    )
    return Cost(
        part=part,
        checks=sum(len(batch.checks) for batch in batches),
        cpu_seconds=cpu_seconds,
        wall_seconds=wall_seconds,
        sift_seconds=sift_seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        verdicts={
            f"{one.batch.part.replace('files', 'rows')} {outcome.check.expectation.type} {outcome.check.column}"
            f" {outcome.check.expected}": [outcome.passed, outcome.unexpected]
            for one in checked
            for outcome in one.outcomes
        },
    )


def _on_files(batch: Batch, path: Path) -> Batch:
    checks = tuple(check for check in batch.checks if has_form(check.expectation, schema.INTERACTIONS))
    return Batch(batch.table, "files", Files((str(path),)), checks)


def _timed(call: Callable[[], T]) -> tuple[T, float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def _in_a_process(part: str, path: Path) -> Cost:
    command = (sys.executable, "-m", "benchmarks.validation", "--part", part, "--data", str(path))
    environment = {**os.environ, "GX_ANALYTICS_ENABLED": "false"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(ended.stdout))


def _print(runs: Sequence[Cost], *, rows: int, as_json: bool) -> int:
    of = {part: [run for run in runs if run.part == part] for part in PARTS}
    cpu = {part: median(run.cpu_seconds for run in found) for part, found in of.items()}
    ratio = cpu["compiled"] / cpu["pandas"]
    agreed = of["pandas"][0].verdicts
    is_same = all(agreed[name] == verdict for run in runs for name, verdict in run.verdicts.items())
    is_met = ratio <= TARGET
    holds = is_same and (is_met or rows < TARGET_ROWS)
    if as_json:
        found = {"rows": rows, "ratio": ratio, "target": TARGET, "is_same": is_same, "runs": [asdict(r) for r in runs]}
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return 0 if holds else 1
    table = Table(title=f"Validation of {rows:,} interactions, medians of {len(of['pandas'])} runs")
    for heading in ("checks by", "checks", "CPU s", "wall s", "finding broken rows, CPU s", "peak MB"):
        table.add_column(heading, justify="left" if heading == "checks by" else "right")
    for part, costs in of.items():
        figures = [
            median(getattr(cost, name) for cost in costs)
            for name in ("cpu_seconds", "wall_seconds", "sift_seconds", "peak_mb")
        ]
        table.add_row(part, str(costs[0].checks), *(f"{value:,.2f}" for value in figures))
    console = Console()
    console.print(table)
    judged = ("met" if is_met else "MISSED") if rows >= TARGET_ROWS else "judged at that size only"
    console.print(f"CPU compiled / pandas: measured {ratio:.3f}, target <= {TARGET} at {TARGET_ROWS:,} rows: {judged}")
    console.print(f"verdicts and counts of all ways: {'the same' if is_same else 'DIFFERENT'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
