"""The report that people open: one HTML file that asks nothing of a network, needs no script, and shows no user."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitoring.analysis import drawing
from monitoring.analysis.result import Analysis, Column, Group
from monitoring.analysis.words import shortened, span, written

ROWS: Final = 20
"""Rows of each table in the report; the whole tables are kept beside it."""

_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Facts:
    """What the report says of itself.

    Attributes:
        name: Of the data set.
        start: First moment of the span.
        end: First moment after it.
        events: Events in it.
        users: People in it.
        label_words: What interest is.
        confidence: Of the intervals.
        is_order_only: The times are positions.
        made_at: When it was made.
    """

    name: str
    start: datetime
    end: datetime
    events: int
    users: int
    label_words: str
    confidence: float
    is_order_only: bool
    made_at: datetime


@dataclass(frozen=True)
class _Section:
    key: str
    title: str
    findings: tuple[str, ...]
    method: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    pictures: tuple[drawing.Picture, ...]


def write_report(analyses: Mapping[str, Analysis], path: Path, *, facts: Facts) -> Path:
    """Write the report as one HTML file; the folder is made, and the file appears whole or not at all.

    Args:
        analyses: By name, in the order within a part.
        path: File to write.
        facts: What the report says of itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_text(render(analyses, facts=facts), encoding="utf-8")
    partial.replace(path)
    return path


def render(analyses: Mapping[str, Analysis], *, facts: Facts) -> str:
    """Return the report as HTML, everything in it escaped."""
    of_group = {group: [_section(key, one) for key, one in analyses.items() if one.group is group] for group in Group}
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        facts=facts,
        span="An order of events without times" if facts.is_order_only else span(facts.start, facts.end),
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        groups=[(group.value, members) for group, members in of_group.items() if members],
        sections=[section for members in of_group.values() for section in members],
    )


def _section(key: str, analysis: Analysis) -> _Section:
    names = [column.name for column in analysis.columns]
    rows = analysis.table.slice(0, ROWS).select(names).to_pylist() if names else []
    return _Section(
        key=key,
        title=shortened(analysis.title),
        findings=analysis.findings,
        method=analysis.method,
        columns=analysis.columns,
        rows=tuple(tuple(written(row[c.name], c.kind) for c in analysis.columns) for row in rows),
        total=analysis.table.num_rows,
        pictures=tuple(drawing.draw(chart) for chart in analysis.charts if chart.dots),
    )
