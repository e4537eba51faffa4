"""How long people watch videos of each length, and how many they finish or leave at once."""

from typing import Final

import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import FINISHED, Scope
from monitoring.analysis.sections._shares import intervals, summed, with_columns
from monitoring.analysis.words import with_interval

_TITLE: Final = "Watch time by the video's length"
_EDGES: Final = (7, 15, 30, 60, 120, 300)
_LEFT_SECONDS: Final = 3
BAND: Final = (
    "CASE "
    + " ".join(f"WHEN duration < {edge} THEN {place}" for place, edge in enumerate(_EDGES))
    + f" ELSE {len(_EDGES)} END"
)
"""SQL of the number of an event's band of durations."""
_KNOWN: Final = "watch IS NOT NULL AND duration IS NOT NULL"


def analyse(scope: Scope) -> Analysis:
    """Return the distribution of watch seconds, and the shares finished and left, by band of durations."""
    method = (
        f"Exposures with a known watch time and duration, in bands of duration. Finished is a watch of {FINISHED:.0%}"
        f" of the duration or more (a replay too), left is one under {_LEFT_SECONDS} seconds. Intervals are over"
        " people. Quantiles are exact, or by t-digest beyond 5 million events."
    )
    missing = [
        words for name, words in (("watch", "watch times"), ("duration", "durations")) if name not in scope.columns
    ]
    if missing or "finished" not in scope.columns:
        because = f"This data set has no {' and no '.join(missing) or 'watch times of videos of known duration'}."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    finished = summed(scope, by=BAND, hits="finished", where=_KNOWN, order="name")
    if not finished.num_rows:
        because = f"No band of durations was watched by {scope.config.least_users} people."
        return silent(_TITLE, Group.BEHAVIOUR, because=because, method=method)
    left = summed(scope, by=BAND, hits=f"(watch < {_LEFT_SECONDS})::INTEGER", where=_KNOWN, order="name")
    ends, aborts = intervals(scope, finished), intervals(scope, left)
    spread = _spread(scope, finished)
    table = with_columns(
        spread,
        finished=ends.value,
        finished_lower=ends.lower,
        finished_upper=ends.upper,
        left=aborts.value,
        left_lower=aborts.lower,
        left_upper=aborts.upper,
        users=finished["users"],
        x=finished["x"],
    )
    return Analysis(
        title=_TITLE,
        group=Group.BEHAVIOUR,
        findings=_findings(table),
        method=method,
        table=table,
        columns=_COLUMNS,
        charts=_charts(table),
    )


_COLUMNS: Final = (
    Column("band", "Length", Kind.TEXT),
    Column("x", "Exposures"),
    Column("users", "People"),
    Column("p10", "Watched s, 10 %", Kind.NUMBER),
    Column("p50", "Median s", Kind.NUMBER),
    Column("p90", "90 %", Kind.NUMBER),
    Column("finished", "Finished", Kind.SHARE),
    Column("finished_lower", "Lower", Kind.SHARE),
    Column("finished_upper", "Upper", Kind.SHARE),
    Column("left", "Left at once", Kind.SHARE),
    Column("left_lower", "Lower", Kind.SHARE),
    Column("left_upper", "Upper", Kind.SHARE),
)


def _spread(scope: Scope, kept: pa.Table) -> pa.Table:
    """Return the quantiles of watch seconds of the bands in `kept`, in their order."""
    places = ", ".join(str(place) for place in kept["name"].to_pylist())
    quantiles = ", ".join(
        f"{scope.quantile('watch', share)}::DOUBLE AS p{round(share * 100)}" for share in (0.1, 0.5, 0.9)
    )
    frame = scope.query(
        f"SELECT {BAND} AS place, {quantiles} FROM events WHERE {_KNOWN} GROUP BY place HAVING place IN ({places})"  # noqa: S608
        " ORDER BY place"
    )
    names = [_band(place) for place in frame["place"].to_pylist()]
    return frame.append_column("band", pa.array(names)).drop_columns(["place"])


def _band(place: int) -> str:
    if place == 0:
        return f"under {_EDGES[0]} s"
    if place == len(_EDGES):
        return f"{_EDGES[-1]} s and more"
    return f"{_EDGES[place - 1]} to {_EDGES[place]} s"


def _findings(table: pa.Table) -> tuple[str, ...]:
    rows = table.to_pylist()
    most, least = max(rows, key=lambda row: row["finished"]), min(rows, key=lambda row: row["finished"])
    first = f"Videos of {most['band']} are finished most often, {_rate(most)}"
    if len(rows) == 1:
        return (f"{first}; no other length was watched by enough people.",)
    busiest = max(rows, key=lambda row: row["x"])
    return (
        f"{first}, those of {least['band']} least, {_rate(least)}.",
        f"The length shown most, {busiest['band']} ({round(busiest['x']):,} exposures), is watched for"
        f" {busiest['p50']:.1f} s in the median and {busiest['p90']:.1f} s at the 90th percentile;"
        f" {with_interval(busiest['left'], busiest['left_lower'], busiest['left_upper'], Kind.SHARE)} of its exposures"
        f" are left within {_LEFT_SECONDS} s.",
    )


def _rate(row: dict[str, float]) -> str:
    return with_interval(row["finished"], row["finished_lower"], row["finished_upper"], Kind.SHARE)


def _charts(table: pa.Table) -> tuple[Dots, ...]:
    rows = table.to_pylist()
    ends = tuple(Dot(row["band"], row["finished"], row["finished_lower"], row["finished_upper"]) for row in rows)
    spread = tuple(Dot(row["band"], row["p50"], row["p10"], row["p90"]) for row in rows)
    return (
        Dots("Share of exposures watched to the end, by the video's length", ends, Kind.SHARE),
        Dots("Seconds watched: median, and from the 10th to the 90th percentile", spread, Kind.NUMBER),
    )
