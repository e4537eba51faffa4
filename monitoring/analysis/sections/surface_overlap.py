"""Which surfaces share their people."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.statistics import wilson
from monitoring.analysis.words import shortened, with_interval

_TITLE: Final = "People that surfaces share"
_SURFACES: Final = 8
_DRAWN: Final = 14


def analyse(scope: Scope) -> Analysis:
    """Return, for each pair of surfaces, how many people use both and which share of the first's that is."""
    method = _method(scope)
    if scope.surfaces < 2:
        because = "The events are on fewer than two surfaces, so nothing overlaps."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    frame = _pairs(scope)
    if not frame.num_rows:
        because = f"Fewer than two surfaces have {scope.config.least_users} people."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    people, both, others = (np.asarray(frame[name].to_numpy(), np.float64) for name in ("people", "both_use", "others"))
    found = wilson(both / people, people, confidence=scope.config.confidence)
    table = frame
    added = {
        "share": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "of_all": others / scope.num_users,
        "jaccard": both / (people + others - both),
    }
    for name, values in added.items():
        table = table.append_column(name, pa.array(values))
    return _answer(table, method)


def _answer(table: pa.Table, method: str) -> Analysis:
    rows = table.to_pylist()
    most = max(rows, key=lambda row: (row["jaccard"], row["share"]))
    beyond = sorted(rows, key=lambda row: -(row["lower"] - row["of_all"]))
    drawn = tuple(
        Dot(shortened(f"{row['name']} → {row['other']}"), row["share"], row["lower"], row["upper"])
        for row in beyond[:_DRAWN]
    )
    return Analysis(
        title=_TITLE,
        group=Group.BEHAVIOUR,
        findings=(
            f"{most['name']} and {most['other']} share most: {most['both_use']:,} people, a Jaccard index of"
            f" {most['jaccard']:.2f}; {_rate(most)} of {most['name']}'s people use {most['other']}.",
            f"Most beyond what is usual: {_rate(beyond[0])} of {beyond[0]['name']}'s people use {beyond[0]['other']},"
            f" against {beyond[0]['of_all']:.1%} of everybody.",
        ),
        method=method,
        table=table,
        columns=_COLUMNS,
        charts=(Dots("Share of a surface's people who use another, most beyond the usual first", drawn, Kind.SHARE),),
    )


_COLUMNS: Final = (
    Column("name", "People of", Kind.TEXT),
    Column("other", "Who also use", Kind.TEXT),
    Column("people", "People of the first"),
    Column("both_use", "Use both"),
    Column("share", "Share", Kind.SHARE),
    Column("lower", "Lower", Kind.SHARE),
    Column("upper", "Upper", Kind.SHARE),
    Column("of_all", "Of everybody", Kind.SHARE),
    Column("jaccard", "Jaccard", Kind.NUMBER),
)


def _method(scope: Scope) -> str:
    return (
        f"The {_SURFACES} surfaces with most people, {scope.config.least_users} or more each. A person uses a surface"
        " who has an event on it in the span. The share is of the first surface's people, with Wilson's interval; the"
        " share of everybody who uses the second stands beside it, since much overlap with a surface that all use says"
        " little. Jaccard is the people on both among those on either."
    )


def _pairs(scope: Scope) -> pa.Table:
    return scope.query(
        f"""WITH used AS (SELECT DISTINCT surface, user FROM events),
        sizes AS (
            SELECT surface, count(*) AS people FROM used GROUP BY surface HAVING people >= {scope.config.least_users}
            ORDER BY people DESC, surface LIMIT {_SURFACES}
        ), pairs AS (
            SELECT a.surface AS name, b.surface AS other, count(*) AS both_use
            FROM used AS a JOIN used AS b ON a.user = b.user AND a.surface <> b.surface GROUP BY ALL
        )
        SELECT a.surface AS name, b.surface AS other, a.people, b.people AS others, coalesce(both_use, 0) AS both_use
        FROM sizes AS a JOIN sizes AS b ON a.surface <> b.surface
        LEFT JOIN pairs ON pairs.name = a.surface AND pairs.other = b.surface
        ORDER BY a.people DESC, b.people DESC, name, other"""  # noqa: S608 - numbers
    )


def _rate(row: dict[str, float]) -> str:
    return with_interval(row["share"], row["lower"], row["upper"], Kind.SHARE)
