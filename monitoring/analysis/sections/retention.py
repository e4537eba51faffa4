"""Who comes back: cohorts of people by the day of their first event, and the share active again each day after it."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.statistics import wilson
from monitoring.analysis.words import with_interval

_TITLE: Final = "Cohorts and retention"
_TOLD: Final = (1, 3, 7, 14, 28)
_ALL: Final = "all"


def analyse(scope: Scope) -> Analysis:
    """Return, for each cohort and all together, the share of people active again so many days after their first."""
    method = _method(scope)
    if scope.is_order_only:
        because = "This data set has an order of events and no times, so nobody can be seen to come back."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    frame = _counted(scope)
    if not frame.num_rows:
        because = (
            f"The span of {scope.days:.1f} days has no cohort of {scope.config.least_users} people with a whole day"
            " after its first, so nobody can be seen to come back."
        )
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    share = frame["active"].to_numpy() / frame["people"].to_numpy()
    found = wilson(share, frame["people"].to_numpy(), confidence=scope.config.confidence)
    table = frame
    for name, values in (("share", found.value), ("lower", found.lower), ("upper", found.upper)):
        table = table.append_column(name, pa.array(np.asarray(values, np.float64)))
    rows = [row for row in table.to_pylist() if row["cohort"] == _ALL]
    return Analysis(
        title=_TITLE,
        group=Group.BEHAVIOUR,
        findings=_findings(rows, number=len(set(frame["cohort"].to_pylist())) - 1),
        method=method,
        table=table,
        columns=_COLUMNS,
        charts=(
            Dots(
                "Share of people active again so many days after their first event",
                tuple(Dot(f"day {row['day']}", row["share"], row["lower"], row["upper"]) for row in rows),
                Kind.SHARE,
            ),
        ),
    )


_COLUMNS: Final = (
    Column("cohort", "First seen, UTC", Kind.TEXT),
    Column("day", "Day"),
    Column("people", "People"),
    Column("share", "Active", Kind.SHARE),
    Column("lower", "Lower", Kind.SHARE),
    Column("upper", "Upper", Kind.SHARE),
)


def _method(scope: Scope) -> str:
    known = (
        "People with an event before the span are in no cohort."
        if scope.has_earlier
        else "The lake begins with the span, so its first cohorts hold people who were there before."
    )
    return (
        "A day is 24 hours counted back from the end of the span, and a cohort everybody whose first event lies in it."
        f" {known} Day n is counted for the cohorts that are old enough to have had it whole, so later days are of"
        " fewer people. Active is any event. Intervals are Wilson's, over people."
    )


def _counted(scope: Scope) -> pa.Table:
    """Return one row a cohort and day after it: how many people, and how many of them active; all cohorts first."""
    oldest = "AND user NOT IN (SELECT user FROM earlier)" if scope.has_earlier else ""
    start, end = int(scope.start.timestamp() * 1e6), scope.end
    blocks = int(scope.days)
    return scope.query(
        f"""WITH earlier AS (
            SELECT DISTINCT md5_number_lower(user_id) AS user FROM interactions
            WHERE {str(scope.has_earlier).upper()} AND origin <> 'replay' AND epoch_us(timestamp) < {start}
        ), firsts AS (
            SELECT user, max(day) AS born FROM events WHERE TRUE {oldest} GROUP BY user HAVING born < {blocks}
        ), sizes AS (SELECT born, count(*) AS people FROM firsts GROUP BY born),
        seen AS (
            SELECT born, born - day AS after, count(DISTINCT user) AS active
            FROM events JOIN firsts USING (user) GROUP BY ALL
        ), grid AS (
            SELECT born, people, unnest(range(1, born + 1)) AS after FROM sizes
        ), each AS (
            SELECT born, after, people, coalesce(active, 0) AS active FROM grid LEFT JOIN seen USING (born, after)
        )
        SELECT 1 AS rank, strftime(to_timestamp({end.timestamp()!r} - (born + 1) * 86400), '%Y-%m-%d %H:%M') AS cohort,
            after::BIGINT AS day, people::BIGINT AS people, active::BIGINT AS active
        FROM each WHERE people >= {scope.config.least_users}
        UNION ALL SELECT 0, '{_ALL}', after::BIGINT, sum(people)::BIGINT, sum(active)::BIGINT FROM each
        GROUP BY after HAVING sum(people) >= {scope.config.least_users}
        ORDER BY rank, cohort, day"""  # noqa: S608 - numbers and our own words
    ).drop_columns(["rank"])


def _findings(rows: list[dict[str, float]], *, number: int) -> tuple[str, ...]:
    told = [row for row in rows if row["day"] in _TOLD]
    days = (
        f"Day {row['day']}: {with_interval(row['share'], row['lower'], row['upper'], Kind.SHARE)} of"
        f" {round(row['people']):,} people are active again."
        for row in told
    )
    return (*days, f"{number} cohorts are told apart in the table.")
