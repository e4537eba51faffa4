"""How long and how full people's sessions are, and how many each has."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._visits import visits
from monitoring.analysis.statistics import Sums, normal_interval, ratio_of_sums
from monitoring.analysis.words import with_interval

_TITLE: Final = "Sessions"


def analyse(scope: Scope) -> Analysis:
    """Return mean and spread of the sessions' events, minutes and interest, and of sessions a person."""
    method = (
        f"A session ends with a pause of more than {scope.config.session_gap_minutes:g} minutes between two events."
        " Its minutes run from its first event to its last, so a session of one event has none, and watching the last"
        " video is left out. Means are over sessions, their intervals over people. The span's edges cut sessions short."
    )
    if scope.is_order_only:
        because = "This data set has an order of events and no times, so there are no sessions."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    frame = _measured(scope)
    number = frame["sessions"].to_numpy()[0] if frame.num_rows else 0
    if scope.num_users < scope.config.least_users or not number:
        because = f"There are {scope.num_users} people; sessions are described from {scope.config.least_users} on."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    sums = Sums(*(np.asarray(frame[name].to_numpy(), np.float64) for name in ("users", "y", "x", "yy", "xy", "xx")))
    mean = normal_interval(*ratio_of_sums(sums), confidence=scope.config.confidence)
    table = frame.select(["measure", "p10", "p50", "p90"])
    for name, values in (("mean", mean.value), ("lower", np.maximum(mean.lower, 0)), ("upper", mean.upper)):
        table = table.append_column(name, pa.array(values))
    return Analysis(
        title=_TITLE,
        group=Group.BEHAVIOUR,
        findings=_findings(scope, table, int(number)),
        method=method,
        table=table,
        columns=(
            Column("measure", "Measure", Kind.TEXT),
            Column("mean", "Mean", Kind.NUMBER),
            Column("lower", "Lower", Kind.NUMBER),
            Column("upper", "Upper", Kind.NUMBER),
            Column("p10", "10 %", Kind.NUMBER),
            Column("p50", "Median", Kind.NUMBER),
            Column("p90", "90 %", Kind.NUMBER),
        ),
    )


_MEASURES: Final = (
    ("events a session", "events"),
    ("minutes a session", "minutes"),
    ("events of interest a session", "wanted"),
)


def _measured(scope: Scope) -> pa.Table:
    """Return one row a measure: the sums of its mean over sessions, and its spread; then sessions a person."""
    each = " UNION ALL ".join(
        f"SELECT {place} AS place, '{name}' AS measure, user, {value}::DOUBLE AS value FROM sessions"  # noqa: S608
        for place, (name, value) in enumerate(_MEASURES)
    )
    quantiles = ", ".join(
        f"{scope.quantile('value', share)}::DOUBLE AS p{round(share * 100)}" for share in (0.1, 0.5, 0.9)
    )
    return scope.query(
        f"""WITH sessions AS (
            SELECT user, visit, count(*) AS events, (max(moment) - min(moment)) / 60e6 AS minutes,
                coalesce(sum(interest), 0) AS wanted FROM {visits(scope)} GROUP BY ALL
        ), people AS (SELECT user, count(*) AS sessions FROM sessions GROUP BY user),
        each AS ({each} UNION ALL
            SELECT {len(_MEASURES)} AS place, 'sessions a person' AS measure, user, sessions::DOUBLE AS value
            FROM people),
        spread AS (SELECT place, measure, {quantiles} FROM each GROUP BY ALL),
        mine AS (SELECT place, user, sum(value) AS y, count(*)::DOUBLE AS x FROM each GROUP BY ALL),
        summed AS (SELECT place, count(*)::DOUBLE AS users, sum(y) AS y, sum(x) AS x, sum(y * y) AS yy,
            sum(x * y) AS xy, sum(x * x) AS xx FROM mine GROUP BY place)
        SELECT *, (SELECT count(*) FROM sessions) AS sessions FROM spread JOIN summed USING (place) ORDER BY place"""  # noqa: S608
    )


def _findings(scope: Scope, table: pa.Table, number: int) -> tuple[str, ...]:
    events, minutes, wanted, people = table.to_pylist()
    return (
        f"{scope.num_users:,} people had {number:,} sessions in {scope.days:.1f} days: {_mean(people)} a person, with"
        f" {_mean(events)} events ({_mean(wanted)} of interest) and {_mean(minutes)} minutes each.",
        f"The median session has {events['p50']:g} events and takes {minutes['p50']:.1f} minutes; one in ten has"
        f" {events['p90']:g} events or more.",
    )


def _mean(row: dict[str, float]) -> str:
    return with_interval(row["mean"], row["lower"], row["upper"], Kind.NUMBER)
