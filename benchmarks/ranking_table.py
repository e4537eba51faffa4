"""Tables of what `benchmarks.ranking_quality` measured, and the file that they are kept in."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.ranking_data import read_parts
from benchmarks.ranking_judged import Ranker, against, rankers
from benchmarks.ranking_variants import VARIANTS
from recmodels.evaluation.ranking_report import ALL_SURFACES, HeadFigures

_BASELINES = ("one_model_a_tab", "single_task")
_MAIN = "pepnet"


def tell(data: list[str], *, folder: Path, out: Path, keep: Path | None, minimum_users: int) -> int:
    """Print the tables of the data sets; write them with every learning curve into `keep`; 1 where there is no run."""
    kept: dict[str, Any] = {}
    for name in data:
        parts = read_parts(name, folder)
        found = rankers(out, name, parts)
        if not found:
            print(f"{out / name} holds no ranker that predicted the test part")
            return 1
        sizes = ", ".join(f"{len(getattr(parts, part)):,} {part}" for part in ("train", "validation", "test"))
        print(f"**{name}**: {sizes} exposures; means are over tasks (and tabs) with {minimum_users} users or more\n")
        comparisons = {_key(one): _compared(one, found, minimum_users) for one in found}
        print(
            "\n\n".join([overview(found, comparisons), heads(found), surfaces(found, minimum_users), watch(found)])
            + "\n"
        )
        kept[name] = {"minimum_users": minimum_users} | _kept(found, comparisons, out / name)
    if keep:
        keep.write_text(_lines(_finite(kept)) + "\n")
    return 0


def overview(found: Sequence[Ranker], comparisons: dict[str, Any]) -> str:
    """Return a line a ranker: mean GAUC by tab and over all, and what it is more than those that share nothing."""
    columns = [f"- {name}, {of}" for name in _BASELINES for of in ("by tab", "all")]
    lines = [
        _row(
            ["variant", "seed", "trials", "validation", "GAUC by tab", "GAUC all", *columns, "CPU-s", "load", "commit"]
        ),
        _row(["---"] * (9 + len(columns))),
    ]
    for one in found:
        facts, own = one.trainings, comparisons[_key(one)]
        differences = [_interval(own.get(name, {}).get(of)) for name in _BASELINES for of in ("by_tab", "all_tabs")]
        lines.append(
            _row(
                [
                    one.variant,
                    str(one.seed),
                    str(one.trials),
                    f"{facts[0]['validation']:.4f}" if len(facts) == 1 else "-",
                    f"{own['by_tab']:.4f}",
                    f"{own['all_tabs']:.4f}",
                    *differences,
                    f"{sum(each['cpu_seconds'] for each in facts):.0f}",
                    f"{max(each['load'] for each in facts):.1f}",
                    ", ".join(sorted({each["commit"] for each in facts})),
                ]
            )
        )
    return "\n".join(lines)


def heads(found: Sequence[Ranker]) -> str:
    """Return a line a ranker and task, over all tabs."""
    names = ("variant", "task", "positives", "AUC", "GAUC", "its users", "log loss", "ECE raw", "ECE calibrated")
    lines = [_row(names), _row(["---"] * len(names))]
    for one in _first_seeds(found):
        own = [head for head in one.figures.heads if head.surface == ALL_SURFACES]
        lines.extend(_row([one.variant, *_cells(head, one)]) for head in own)
    return "\n".join(lines)


def surfaces(found: Sequence[Ranker], minimum_users: int) -> str:
    """Return a line a task and tab of the main variant and of each that shares nothing."""
    names = ("variant", "tab", "task", "positives", "AUC", "GAUC", "its users", "log loss", "ECE raw", "ECE calibrated")
    lines = [_row(names), _row(["---"] * len(names))]
    for one in _first_seeds(found):
        if one.variant not in (_MAIN, *_BASELINES):
            continue
        own = [head for head in one.figures.heads if head.surface != ALL_SURFACES and head.users >= minimum_users]
        lines.extend(_row([one.variant, head.surface, *_cells(head, one)]) for head in own)
    return "\n".join(lines)


def watch(found: Sequence[Ranker]) -> str:
    """Return a line a ranker and tab: watch time before and after calibration; those alone that predict it."""
    names = ("variant", "head", "tab", "rows", "MAE raw", "MAE calibrated", "XAUC")
    lines = [_row(names), _row(["---"] * len(names))]
    for one in _first_seeds(found):
        for seen in one.figures.watch:
            if seen.surface == ALL_SURFACES or one.variant in (_MAIN, *_BASELINES):
                head = VARIANTS[one.variant].watch_time
                figures = (f"{seen.rows:,}", f"{one.raw_maes[seen.surface]:.2f}", f"{seen.mae:.2f}", f"{seen.xauc:.4f}")
                lines.append(_row([one.variant, head, seen.surface, *figures]))
    return "\n".join(lines)


def _cells(head: HeadFigures, one: Ranker) -> list[str]:
    return [
        head.task,
        f"{head.positives:,}",
        f"{head.auc:.4f}",
        f"{head.gauc:.4f}",
        f"{head.users:,} ({head.share_of_users:.1%})",
        f"{head.log_loss:.4f}",
        f"{one.raw_eces[head.surface, head.task]:.4f}",
        f"{head.ece:.4f}",
    ]


def _compared(one: Ranker, found: Sequence[Ranker], minimum_users: int) -> dict[str, Any]:
    """Return its mean GAUC, and how it compares with each baseline of the same seed, or of its first one."""
    compared: dict[str, Any] = {
        "by_tab": one.mean_gauc(by_surface=True, minimum_users=minimum_users),
        "all_tabs": one.mean_gauc(by_surface=False, minimum_users=minimum_users),
    }
    for name in _BASELINES:
        others = [other for other in found if other.variant == name]
        baseline = next((other for other in others if other.seed == one.seed), others[0] if others else None)
        if baseline is not None and baseline is not one:
            compared[name] = {
                "seed": baseline.seed,
                "by_tab": against(one, baseline, by_surface=True, minimum_users=minimum_users),
                "all_tabs": against(one, baseline, by_surface=False, minimum_users=minimum_users),
            }
    return compared


def _kept(found: Sequence[Ranker], comparisons: dict[str, Any], runs: Path) -> dict[str, Any]:
    results = [json.loads(path.read_text()) for path in sorted(runs.glob("*/*/*/result.json"))]
    judged = [
        {
            "variant": one.variant,
            "seed": one.seed,
            "trials": one.trials,
            "chosen": {facts["part"]: facts["trial"] for facts in one.trainings},
            "mean_gauc": comparisons[_key(one)],
            "calibrated": asdict(one.figures),
            "raw_ece": {f"{surface}/{task}": value for (surface, task), value in one.raw_eces.items()},
            "raw_mae": one.raw_maes,
        }
        for one in found
    ]
    return {"rankers": judged, "trainings": results}


def _first_seeds(found: Sequence[Ranker]) -> list[Ranker]:
    first = {one.variant: one for one in reversed(found)}
    return [one for one in found if first[one.variant] is one]


def _lines(kept: dict[str, Any]) -> str:
    """Return JSON with a line a ranker and a training, so that two versions can be compared."""
    rendered = []
    for name, found in kept.items():
        lists = (
            f'"{key}": [\n' + ",\n".join(json.dumps(one) for one in found[key]) + "\n]"
            for key in ("rankers", "trainings")
        )
        rendered.append(f'"{name}": {{\n"minimum_users": {found["minimum_users"]},\n' + ",\n".join(lists) + "\n}")
    return "{\n" + ",\n".join(rendered) + "\n}"


def _finite(value: Any) -> Any:
    """Return the same with null for NaN, which JSON does not have, and six digits of every figure."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _interval(found: dict[str, Any] | None) -> str:
    return "-" if found is None else f"{found['difference']:+.4f} ({found['lower']:+.4f} to {found['upper']:+.4f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _key(one: Ranker) -> str:
    return f"{one.variant}-{one.seed}"
