"""Measure the gateway: `python -m benchmarks.serving [part ...] [--quick] [--json FILE]`.

Prints a table of targets beside what was measured, and what it depends on. Without a part, all of them in turn.
"""

import argparse
import gc
import importlib
import json
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.serving.figures import Row, machine, not_measured, table
from benchmarks.serving.plan import SEED, Plan, say

PARTS = (
    "noop",
    "request",
    "encoder",
    "batching",
    "memory",
    "sustained",
    "overload",
    "swap",
    "kill",
    "outage",
    "takedown",
    "history",
    "rollback",
    "fuzz",
)
"""Modules of this package, each with `measure(plan) -> list[Row]`, in the order in which they run."""

DEFAULT_WORK = Path(".everfeed/benchmarks/serving")


def main(arguments: list[str] | None = None) -> int:
    """Run parts and print the table; 0 when every target that was measured holds."""
    options = _parser().parse_args(arguments)
    plan = Plan(options.work.resolve(), is_quick=options.quick, seed=options.seed, ray_python=options.ray_python)
    plan.work.mkdir(parents=True, exist_ok=True)
    facts = {**machine(), "seed": plan.seed, "is_quick": plan.is_quick}
    gc.freeze()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are stopped on the way out
    found: dict[str, list[Row]] = {}
    try:
        for part in options.parts or PARTS:
            say(f"-- {part}")
            found[part] = _measure(part, plan)
            if options.json:
                options.json.write_text(json.dumps({"machine": facts, "parts": _plain(found)}, indent=1))
    finally:
        print(table(found))
        print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items()))
    return 0 if all(row.holds is not False for rows in found.values() for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="seconds a part: proves that it works, measures nothing")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file, after every part")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help=f"folder for what is built ({DEFAULT_WORK})")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--ray-python", type=Path, help="Python of an environment with ray[serve]==2.60.0")
    return parser


def _measure(part: str, plan: Plan) -> list[Row]:
    measure: Callable[[Plan], list[Row]] = importlib.import_module(f"benchmarks.serving.{part}").measure
    try:
        return measure(plan)
    except Exception as error:  # noqa: BLE001 - a door: one part that fails must not cost the figures of the others
        traceback.print_exc()
        return [not_measured(part, "-", f"failed: {type(error).__name__}: {str(error).splitlines()[-1]}")]


def _plain(found: dict[str, list[Row]]) -> dict[str, list[dict[str, object]]]:
    return {part: [asdict(row) for row in rows] for part, rows in found.items()}


if __name__ == "__main__":
    sys.exit(main())
