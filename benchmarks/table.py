"""A benchmark's table: a target beside what was measured, printed as the documentation holds it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        figure: What was measured.
        target: What it should be.
        measured: What it is.
        holds: Whether the target is met; None where none was set.
        note: How it was measured.
    """

    figure: str
    target: str
    measured: str
    holds: bool | None
    note: str = ""


def report(figures: Sequence[Figure], *, as_json: bool = False) -> int:
    """Print every line, as Markdown or as a JSON list, and return the exit code: 0 when every target holds."""
    print(json.dumps([asdict(figure) for figure in figures], indent=1) if as_json else _markdown(figures))
    return 0 if all(figure.holds is not False for figure in figures) else 1


def _markdown(figures: Sequence[Figure]) -> str:
    lines = ["| figure | target | measured | holds | note |", "|---|---|---|---|---|"]
    for one in figures:
        holds = {True: "yes", False: "**no**", None: "-"}[one.holds]
        lines.append(f"| {one.figure} | {one.target} | {one.measured} | {holds} | {one.note} |")
    return "\n".join(lines)
