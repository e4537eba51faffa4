"""Tables of what `benchmarks.quality` measured: `python -m benchmarks.quality_table RUNS [--keep FILE]`.

One table a data set, a line a recipe and protocol, the mean over seeds with its smallest and largest value. Beside it
stands the difference to popularity in NDCG@10, paired over users (bootstrap, 95 %, seed of the recipe's first run).
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality import AS_TRAINED, REFITTED
from recmodels.data.schema import USER_ID
from recmodels.evaluation.bootstrap import bootstrap_means, percentile_interval
from recmodels.evaluation.record import Evaluation

_FLOOR = "popularity"
_METRICS = ("hit_at_10", "ndcg_at_10")


@dataclass(frozen=True, eq=False)
class Run:
    """One run: what `benchmarks.quality` wrote of it, and its folder."""

    facts: dict[str, Any]
    folder: Path


def main(arguments: list[str] | None = None) -> int:
    """Print the tables, and keep what they are made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder that benchmarks.quality was given as --out")
    parser.add_argument("--keep", type=Path, help="write every result into this JSON file")
    options = parser.parse_args(arguments)
    runs = [Run(json.loads(path.read_text()), path.parent) for path in sorted(options.runs.glob("*/*/*/result.json"))]
    if not runs:
        parser.error(f"{options.runs} holds no result. Give the folder that benchmarks.quality was given as --out.")
    judged = [run for run in runs if run.facts["test"]]
    for data in sorted({run.facts["data"] for run in judged}):
        print(f"**{data}**\n\n" + table([run for run in judged if run.facts["data"] == data]) + "\n")
    tried = {
        data: sum(run.facts["data"] == data and run.facts["protocol"] == AS_TRAINED for run in runs)
        for data in sorted({run.facts["data"] for run in runs})
    }
    print(
        "trainings, those that only the validation part judged included: "
        + ", ".join(f"{k} {v}" for k, v in tried.items())
    )
    if options.keep:
        options.keep.write_text("[\n" + ",\n".join(json.dumps(_kept(run.facts)) for run in runs) + "\n]\n")
    return 0


def table(runs: Sequence[Run]) -> str:
    """Return the Markdown table of one data set, best ndcg_at_10 first."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.facts["recipe"], run.facts["protocol"]].append(run)
    floors = {run.facts["protocol"]: run for run in runs if run.facts["recipe"] == _FLOOR}
    lines = [
        "| recipe | protocol | HR@10 | NDCG@10 | less popularity | validation | epochs | CPU-s | seeds | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    order = sorted(groups.items(), key=lambda group: -_mean(group[1], "ndcg_at_10"))
    return "\n".join([*lines, *(_line(members, floors.get(key[1], floors.get(AS_TRAINED))) for key, members in order)])


def _line(runs: Sequence[Run], floor: Run | None) -> str:
    first = runs[0].facts
    figures = " | ".join(_spread(runs, metric) for metric in _METRICS)
    validation = sum(run.facts["validation"]["ndcg_at_10"] for run in runs) / len(runs)
    seconds = sum(run.facts["cpu_seconds"] for run in runs) / len(runs)
    epochs = ", ".join(str(run.facts["epochs"][1]) for run in runs) if first["epochs"][1] else "-"
    commits = ", ".join(sorted({run.facts["commit"] for run in runs}))
    told = f"{validation:.4f}" if first["protocol"] != REFITTED else "-"
    cells = (first["recipe"], first["protocol"], figures, _against(runs[0], floor), told, epochs, f"{seconds:,.0f}")
    return f"| {' | '.join(cells)} | {', '.join(str(run.facts['seed']) for run in runs)} | {commits} |"


def _spread(runs: Sequence[Run], metric: str) -> str:
    values = [run.facts["test"][metric] for run in runs]
    means = [value[0] for value in values]
    if len(runs) == 1:
        return f"{means[0]:.4f} ({values[0][1]:.4f} to {values[0][2]:.4f})"
    return f"{sum(means) / len(means):.4f} (seeds {min(means):.4f} to {max(means):.4f})"


def _kept(facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"test": {name: values for name, values in facts["test"].items() if name.endswith("_at_10")}}


def _against(run: Run, floor: Run | None) -> str:
    if floor is None or floor is run:
        return "-"
    ours, theirs = (Evaluation.load(one.folder).per_user for one in (run, floor))
    assert ours[USER_ID].equals(theirs[USER_ID]), "both were judged on the users of one test part, in their order"
    differences = (ours["ndcg_at_10"].to_numpy() - theirs["ndcg_at_10"].to_numpy())[:, None]  # (U, 1)
    samples = bootstrap_means(differences, samples=1000, seed=run.facts["seed"])[:, 0]
    interval = percentile_interval(samples, confidence=0.95)
    return f"{differences.mean():+.4f} ({interval.lower:+.4f} to {interval.upper:+.4f})"


def _mean(runs: Sequence[Run], metric: str) -> float:
    return float(sum(run.facts["test"][metric][0] for run in runs)) / len(runs)


if __name__ == "__main__":
    sys.exit(main())
