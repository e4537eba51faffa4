"""The speed figures of training: `python -m benchmarks.training building|assembly|ranking|memory`.

Every figure is a ratio to something measured in the same run, round by round in turn, with one thread each unless
`--threads` says more: a scan of the same files, another library doing the same, the matrix product that ranking cannot
do without, the bytes that weights and optimizer cannot do without. Ratios are medians of the rounds' ratios of CPU
seconds (user and system time of all threads); wall seconds are noted. `--share 0.1` takes a tenth of the size, which is
quick and says little.
"""

import argparse
import sys
from collections.abc import Callable

from benchmarks.table import Figure, report
from benchmarks.training import assembly, building, memory, ranking
from benchmarks.training.measure import Options

FIGURES: dict[str, Callable[[Options], list[Figure]]] = {
    "building": building.figures,
    "assembly": assembly.figures,
    "ranking": ranking.figures,
    "memory": memory.figures,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when every target holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=FIGURES, nargs="+", help="what to measure")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each way (default 3)")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size (default 1.0)")
    parser.add_argument("--threads", type=int, default=1, help="of each way (default 1)")
    parser.add_argument("--seed", type=int, default=20261122, help="of the synthetic data")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    options = Options(rounds=given.rounds, share=given.share, threads=given.threads, seed=given.seed)
    found = [figure for name in given.figure for figure in FIGURES[name](options)]
    return report(found, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
