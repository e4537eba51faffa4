"""The whole loop on `synthetic`, lived day by day: `python -m benchmarks.closed_loop`.

Tastes shift on day 30. The incident must be open by day 32, a retrain must run, the canary must promote its model, the
click rate must come back, the incident must resolve, and in 30 stable days after it nothing more may happen: no
incident, no retrain, no rollout. Every request goes through the gateway over HTTP, every decision is the flows' own;
only the clock is turned. `--seed` draws another world; which arm a visitor meets differs from run to run, and with it
what is clicked.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loop_home import prepare
from benchmarks.loop_world import LoopSizes

SMALL = LoopSizes(people=800, items=240, seed_days=14, shift_day=18, days=60)
"""For a test: the shift comes earlier, and the figures learn from fewer days."""


def main(arguments: list[str] | None = None) -> int:
    """Live the loop, print the timeline and the targets; 0 when all hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a smaller world, which shifts on day 18")
    parser.add_argument("--stable-days", type=int, help="days after the resolution (30; with --small 10)")
    parser.add_argument("--seed", type=int, default=LoopSizes.seed)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--home", type=Path, help="keep the home here")
    options = parser.parse_args(arguments)
    sizes = LoopSizes(**{**asdict(SMALL if options.small else LoopSizes()), "seed": options.seed})
    stable = options.stable_days or (10 if options.small else 30)
    started, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        settings = prepare(options.home or Path(folder) / "home")
        from benchmarks.loop_days import SMALL_TERMS, Terms, live
        from benchmarks.loop_targets import judge

        terms, tell = SMALL_TERMS if options.small else Terms(), _quiet if options.json else print
        lived = live(settings, sizes, terms, stable_days=stable, tell=tell)
        targets = judge(lived, stable_days=stable)
    seconds = {"wall": round(time.perf_counter() - started), "cpu": round(time.process_time() - cpu)}
    if options.json:
        print(json.dumps({"targets": [asdict(one) for one in targets], "seconds": seconds, **lived.document()}))
    else:
        table = Table("what", "target", "measured", "holds")
        for one in targets:
            table.add_row(one.what, one.target, one.measured, "yes" if one.holds else "NO")
        Console(width=150).print(table)
        print(f"seed {sizes.seed}; {seconds['wall']} s, {seconds['cpu']} s of CPU")
    return 0 if all(one.holds for one in targets) else 1


def _quiet(line: str) -> None:
    del line


if __name__ == "__main__":
    raise SystemExit(main())
