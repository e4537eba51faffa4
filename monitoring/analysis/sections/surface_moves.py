"""Where people go when they leave a surface within a session."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._shares import intervals
from monitoring.analysis.sections._visits import visits
from monitoring.analysis.words import shortened, with_interval

_TITLE: Final = "Moves between surfaces"
_SURFACES: Final = 8
_DRAWN: Final = 14

_METHOD: Final = (
    "A move is two events in a row of one person and one session (pauses as in Sessions) on two surfaces, among the"
    f" {_SURFACES} surfaces with most events. The share is of the departures from the first, its interval over"
    " people. Expected is the second's share of the arrivals everywhere but on the first; the multiple compares"
    " with it."
)
_COLUMNS: Final = (
    Column("name", "From", Kind.TEXT),
    Column("other", "To", Kind.TEXT),
    Column("y", "Moves"),
    Column("share", "Of departures", Kind.SHARE),
    Column("lower", "Lower", Kind.SHARE),
    Column("upper", "Upper", Kind.SHARE),
    Column("expected", "Expected", Kind.SHARE),
    Column("multiple", "Multiple", Kind.RATIO),
    Column("users", "People who left"),
)


def analyse(scope: Scope) -> Analysis:
    """Return, for each pair of surfaces, the share of the departures from the first that go to the second."""
    method = _METHOD
    if scope.is_order_only:
        because = "This data set has an order of events and no times, so there are no sessions to move in."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    if scope.surfaces < 2:
        because = "The events are on fewer than two surfaces, so nobody moves between them."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    frame = _counted(scope)
    if not frame.num_rows:
        because = f"From no surface did {scope.config.least_users} people move on within a session."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    table = _tabled(scope, frame)
    rows = table.to_pylist()
    number = sum(row["y"] for row in rows)
    drawn = sorted(rows, key=lambda row: -row["y"])[:_DRAWN]
    return Analysis(
        title=_TITLE,
        group=Group.BEHAVIOUR,
        findings=_findings(rows, number=number),
        method=method,
        table=table,
        columns=_COLUMNS,
        charts=(
            Dots(
                "Share of the departures from a surface that go to another, the most frequent moves first",
                tuple(
                    Dot(shortened(f"{row['name']} → {row['other']}"), row["share"], row["lower"], row["upper"])
                    for row in drawn
                ),
                Kind.SHARE,
            ),
        ),
    )


def _counted(scope: Scope) -> pa.Table:
    """Return one row a pair: the sums over people of its moves (y) and of the departures from its first surface (x)."""
    return scope.query(
        f"""WITH largest AS (
            SELECT surface FROM events GROUP BY surface ORDER BY count(*) DESC, surface LIMIT {_SURFACES}
        ),
        moves AS (
            SELECT user, before AS name, surface AS other, count(*)::DOUBLE AS y FROM {visits(scope)}
            WHERE before <> surface AND before IN (FROM largest) AND surface IN (FROM largest) GROUP BY ALL
        ), left_by AS (SELECT user, name, sum(y) AS x FROM moves GROUP BY ALL),
        whole AS (
            SELECT name, count(*)::DOUBLE AS users, sum(x) AS x, sum(x * x) AS xx FROM left_by GROUP BY name
            HAVING users >= {scope.config.least_users}
        ), pairs AS (
            SELECT name, other, sum(y) AS y, sum(y * y) AS yy, sum(x * y) AS xy
            FROM moves JOIN left_by USING (user, name) GROUP BY ALL
        ), arrivals AS (SELECT other, sum(y) AS arrived FROM moves GROUP BY other),
        per_first AS (SELECT name, sum(arrived) AS all_arrived FROM whole JOIN arrivals ON other <> name GROUP BY name)
        SELECT name, other, users, y, x, yy, xy, xx, arrived / all_arrived AS expected
        FROM pairs JOIN whole USING (name) JOIN arrivals USING (other) JOIN per_first USING (name)
        ORDER BY y DESC, name, other"""  # noqa: S608 - numbers and our own SQL
    )


def _tabled(scope: Scope, frame: pa.Table) -> pa.Table:
    found = intervals(scope, frame)
    expected = np.asarray(frame["expected"].to_numpy(), np.float64)
    table = frame.select(["name", "other", "y", "users"])
    added = {
        "share": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "expected": expected,
        "multiple": found.value / expected,
        "multiple_lower": found.lower / expected,
        "multiple_upper": found.upper / expected,
    }
    for name, values in added.items():
        table = table.append_column(name, pa.array(values))
    return table


def _findings(rows: list[dict[str, float]], *, number: float) -> tuple[str, ...]:
    busiest = rows[0]
    beyond = max(rows, key=lambda row: row["multiple_lower"])
    first = (
        f"Of {round(number):,} moves {round(busiest['y']):,} go from {busiest['name']} to {busiest['other']}:"
        f" {with_interval(busiest['share'], busiest['lower'], busiest['upper'], Kind.SHARE)} of the departures from"
        f" {busiest['name']}."
    )
    if beyond["multiple_lower"] <= 1:
        return (first, "No move is more frequent than the arrivals elsewhere would let expect.")
    multiple = with_interval(beyond["multiple"], beyond["multiple_lower"], beyond["multiple_upper"], Kind.RATIO)
    return (
        first,
        f"Most beyond what is expected, of {len(rows)} pairs: {beyond['name']} to {beyond['other']}, {multiple}.",
    )
