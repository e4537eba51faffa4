"""One line of the table of targets, and the facts of the machine that it was measured on."""

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
_PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "numpy", "onnxruntime", "faiss-cpu", "mlflow")


@dataclass(frozen=True)
class Row:
    """A figure: its target, what was measured, and whether it holds.

    Attributes:
        figure: What is measured.
        target: In words.
        measured: In words; `not measured` where the run could not measure it.
        holds: None where there is no target, or nothing was measured.
        note: What a reader must know to read the figure.
        values: The numbers behind it, for `--json`.
    """

    figure: str
    target: str
    measured: str
    holds: bool | None
    note: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and their extremes."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise rounds."""
        return cls(median(values), min(values), max(values))

    def words(self, *, digits: int = 2, unit: str = "") -> str:
        """Write it as ``median (lowest to highest)``."""
        suffix = f" {unit}" if unit else ""
        return f"{self.middle:.{digits}f}{suffix} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def not_measured(figure: str, target: str, why: str) -> Row:
    """Return the line of a figure that this run could not measure."""
    return Row(figure, target, "not measured", None, why)


def ratio(figure: str, *, ours: Sequence[float], theirs: Sequence[float], limit: float, note: str = "") -> Row:
    """Return the line of a ratio that must not exceed `limit`, from rounds that were measured side by side.

    Args:
        figure: What is measured.
        ours: One number a round.
        theirs: The number of the same round of what it is compared with.
        limit: Most that the median ratio may be.
        note: What a reader must know.
    """
    ratios = Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])
    values = {"ours": list(ours), "theirs": list(theirs)}
    return Row(figure, f"<= {limit:g} x", f"{ratios.words()} x", ratios.middle <= limit, note, values)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def machine() -> dict[str, object]:
    """Return what the figures depend on: the machine, its load, the commit and the versions of libraries."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": {name: version(name) for name in _PACKAGES},
    }


def table(parts: Mapping[str, Sequence[Row]]) -> str:
    """Return every line as Markdown."""
    lines = ["| part | figure | target | measured | holds | note |", "|---|---|---|---|---|---|"]
    for part, rows in parts.items():
        for row in rows:
            holds = {True: "yes", False: "**no**", None: "-"}[row.holds]
            lines.append(f"| {part} | {row.figure} | {row.target} | {row.measured} | {holds} | {row.note} |")
    return "\n".join(lines)


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
