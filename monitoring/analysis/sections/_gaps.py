"""Supply and demand: what is watched to the end but rarely shown."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import FINISHED, Scope
from monitoring.analysis.sections._rising import called
from monitoring.analysis.sections._standard import Standardised, standardised
from monitoring.analysis.words import with_interval

_DRAWN: Final = 12
_KEPT: Final = 1_000


def gaps(scope: Scope, *, by: str, one: str, many: str) -> Analysis:
    """Return what is finished more often than its lengths and surfaces let expect, and shown less than the median.

    Args:
        scope: The events.
        by: Column of ``events``.
        one: What one is called.
        many: What several are called.
    """
    title = f"{many.capitalize()} in demand and rarely shown"
    method = _method(scope, many)
    if "finished" not in scope.columns:
        because = "This data set lacks watch times or durations, so nothing is known to be watched to the end."
        return silent(title, Group.PREFERENCES, because=because, method=method)
    if by != "item" and by not in scope.columns:
        return silent(title, Group.PREFERENCES, because=f"The items of this data set have no {one}.", method=method)
    found = standardised(scope, by)
    if not found.frame.num_rows:
        because = f"No {one} was shown to {scope.config.least_users} people."
        return silent(title, Group.PREFERENCES, because=because, method=method)
    return _answer(scope, found, title=title, method=method, names=(one, many))


def _method(scope: Scope, many: str) -> str:
    return (
        f"Watched to the end is a watch of {FINISHED:.0%} of the duration or more. Expected is the rate of all"
        " exposures of the same band of lengths on the same surface, so that short videos are not favoured."
        " The interval of the ratio is over people; a ratio above 1 must be unlikely as an exact binomial too. The"
        f" family of all {many} is corrected by Benjamini and Hochberg. Rarely shown is at most the median of the"
        f" {many} that are judged, those that {scope.config.least_users} people or more were shown. Who is shown a"
        " thing is chosen, so this is a list to try more of, not a forecast;"
        " what leads among many is flattered by the choice."
    )


def _answer(scope: Scope, found: Standardised, *, title: str, method: str, names: tuple[str, str]) -> Analysis:
    frame = found.frame
    shown = frame["shown"].to_numpy()
    median = float(np.median(shown))
    is_wanted = found.q <= scope.config.false_discovery_rate
    is_gap = is_wanted & (shown <= median)
    added = {
        "ratio": found.ratio.value,
        "lower": found.ratio.lower,
        "upper": found.ratio.upper,
        "rate": frame["finished"].to_numpy() / shown,
        "of_exposures": shown / shown.sum(),
        "q": found.q,
        "is_gap": is_gap,
    }
    for name, values in added.items():
        frame = frame.append_column(name, pa.array(values))
    order = np.lexsort((-found.ratio.lower, ~is_wanted, ~is_gap))
    table = frame.take(pa.array(order[:_KEPT]))
    return Analysis(
        title=title,
        group=Group.PREFERENCES,
        findings=_findings(
            scope,
            table,
            counts=(frame.num_rows, int(is_wanted.sum()), int(is_gap.sum())),
            median=median,
            names=names,
        ),
        method=method,
        table=table,
        columns=_columns(names[0], has_title=table["title"].null_count < table.num_rows),
        charts=_chart(table, names[0]),
    )


def _columns(one: str, *, has_title: bool) -> tuple[Column, ...]:
    return (
        Column("name", one.capitalize(), Kind.TEXT),
        *((Column("title", "Title", Kind.TEXT),) if has_title else ()),
        Column("ratio", "Finished over expected", Kind.RATIO),
        Column("lower", "Lower", Kind.RATIO),
        Column("upper", "Upper", Kind.RATIO),
        Column("rate", "Finished", Kind.SHARE),
        Column("shown", "Exposures"),
        Column("of_exposures", "Of all exposures", Kind.SHARE),
        Column("users", "People"),
        Column("q", "False discovery rate", Kind.PROBABILITY),
    )


def _findings(
    scope: Scope, table: pa.Table, *, counts: tuple[int, int, int], median: float, names: tuple[str, str]
) -> tuple[str, ...]:
    number, wanted, rare = counts
    one, many = names
    first = (
        f"{wanted:,} of {number:,} {many if number > 1 else one} are watched to the end more often than their lengths"
        f" and surfaces let expect, at a false discovery rate of {scope.config.false_discovery_rate:.0%}; {rare:,} of"
        f" them had at most the median of {median:,.0f} exposures."
    )
    if not rare:
        return (first,)
    top = table.slice(0, 1).to_pylist()[0]
    ratio = with_interval(top["ratio"], top["lower"], top["upper"], Kind.RATIO)
    return (
        first,
        f"By the lower end of its interval {one} {called(top)} leads: finished {ratio} as often as expected,"
        f" in {round(top['finished']):,} of {round(top['shown']):,} exposures, by {round(top['users']):,}"
        f" people who were shown it.",
    )


def _chart(table: pa.Table, one: str) -> tuple[Dots, ...]:
    rows = [row for row in table.slice(0, _DRAWN).to_pylist() if row["is_gap"]]
    dots = tuple(Dot(called(row), row["ratio"], row["lower"], row["upper"], is_finding=True) for row in rows)
    words = f"How often each {one} that is rarely shown is watched to the end, as a multiple of what is expected"
    return (Dots(words, dots, Kind.RATIO, reference=1.0, is_log=True),) if dots else ()
