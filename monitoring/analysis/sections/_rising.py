"""What is watched more than a window ago, beyond what chance among the people makes of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.statistics import (
    Estimates,
    Floats,
    benjamini_hochberg,
    binomial_tail,
    log_interval,
    upper_tail,
)
from monitoring.analysis.words import shortened, span, with_interval

_DRAWN: Final = 12
_KEPT: Final = 1_000
_SMOOTHING: Final = 0.5
"""Events added to each count (Haldane), so that what is new has a finite ratio."""


def rising(scope: Scope, *, by: str, one: str, many: str) -> Analysis:
    """Compare the share of all interest that each `by` has in the later window with that in the earlier.

    The logarithm of the ratio of shares has the variance that drawing users gives it (linearised, so that a user's
    events count together), at least that of Poisson counts. A rise must also be unlikely as an exact binomial of the
    numbers of people. Both tests see events of one user as one, and the larger p-value counts.

    Args:
        scope: The events.
        by: Column of ``events``.
        one: What one is called.
        many: What several are called.
    """
    title = f"Rising {many}"
    method = _method(scope, one, many)
    if scope.is_order_only:
        because = f"No {one} can rise: this data set has an order of events and no times, so there are no windows."
        return silent(title, Group.TRENDS, because=because, method=method)
    if by != "item" and by not in scope.columns:
        because = f"The items of this data set have no {one}, so none can rise."
        return silent(title, Group.TRENDS, because=because, method=method)
    frame = _counted(scope, by)
    totals = _totals(scope)
    before, after = float(totals["n1"][0].as_py()), float(totals["n2"][0].as_py())
    if not before or not after or not frame.num_rows:
        because = (
            f"No {one} was met by {scope.config.least_users} people in the two windows together"
            f" ({round(before):,} and {round(after):,} events of interest), so none can be said to rise."
        )
        return silent(title, Group.TRENDS, because=because, method=method)
    return _answer(scope, frame, totals, title=title, method=method, names=(one, many))


_WHOLE: Final = """whole AS (
            SELECT user, coalesce(sum(interest) FILTER (part = 1), 0) AS t1,
                coalesce(sum(interest) FILTER (part = 2), 0) AS t2
            FROM events WHERE part > 0 GROUP BY user
        )"""


def _totals(scope: Scope) -> pa.Table:
    """Return the interest of both windows, and the sums over users of its products."""
    return scope.query(
        f"""WITH {_WHOLE}
        SELECT coalesce(sum(t1), 0)::DOUBLE AS n1, coalesce(sum(t2), 0)::DOUBLE AS n2, sum(t1 * t1)::DOUBLE AS t11,
            sum(t1 * t2)::DOUBLE AS t12, sum(t2 * t2)::DOUBLE AS t22 FROM whole"""  # noqa: S608 - our own words
    )


def _counted(scope: Scope, by: str) -> pa.Table:
    """Return one row a name with enough people: counts, and the sums that the variance is made of."""
    is_item = by == "item"
    return scope.query(
        f"""WITH {_WHOLE}, mine AS (
            SELECT {by} AS name, user,
                coalesce(sum(interest) FILTER (part = 1), 0) AS a1, coalesce(sum(interest) FILTER (part = 2), 0) AS a2,
                count(*) FILTER (part = 1) AS s1, count(*) FILTER (part = 2) AS s2
            FROM events WHERE part > 0 AND {by} IS NOT NULL GROUP BY ALL
        ), summed AS (
            SELECT name, sum(a1)::DOUBLE AS n1, sum(a2)::DOUBLE AS n2,
                sum(s1)::DOUBLE AS shown1, sum(s2)::DOUBLE AS shown2,
                count(*) FILTER (a1 > 0)::DOUBLE AS users1, count(*) FILTER (a2 > 0)::DOUBLE AS users2,
                sum(a1 * a1)::DOUBLE AS a11, sum(a1 * a2)::DOUBLE AS a12, sum(a2 * a2)::DOUBLE AS a22,
                sum(a1 * t1)::DOUBLE AS b11, sum(a1 * t2)::DOUBLE AS b12,
                sum(a2 * t1)::DOUBLE AS b21, sum(a2 * t2)::DOUBLE AS b22
            FROM mine JOIN whole USING (user) GROUP BY name
            HAVING count(*) FILTER (a1 + a2 > 0) >= {scope.config.least_users}
        )
        SELECT summed.*, {"title" if is_item else "NULL::VARCHAR AS title"} FROM summed
        {"LEFT JOIN catalogue ON item = name" if is_item else ""} ORDER BY name"""  # noqa: S608 - names and a number
    )


@dataclass(frozen=True, eq=False)
class _Tested:
    ratio: Estimates
    p: Floats
    q: Floats


def _tested(scope: Scope, frame: pa.Table, totals: pa.Table) -> _Tested:
    column = {name: frame[name].to_numpy() for name in frame.column_names if name not in ("name", "title")}
    whole = {name: float(totals[name][0].as_py()) for name in totals.column_names}
    n1, n2 = column["n1"] + _SMOOTHING, column["n2"] + _SMOOTHING
    whole1, whole2 = whole["n1"] + 2 * _SMOOTHING, whole["n2"] + 2 * _SMOOTHING
    log_ratio = np.log(n2 / whole2) - np.log(n1 / whole1)
    own = column["a22"] / n2**2 + column["a11"] / n1**2 - 2 * column["a12"] / (n1 * n2)
    shared = (
        column["b22"] / (n2 * whole2)
        - column["b21"] / (n2 * whole1)
        - column["b12"] / (n1 * whole2)
        + column["b11"] / (n1 * whole1)
    )
    rest = whole["t22"] / whole2**2 + whole["t11"] / whole1**2 - 2 * whole["t12"] / (whole1 * whole2)
    variance = np.maximum(own - 2 * shared + rest, 1 / n1 + 1 / n2)
    expected = whole["n2"] / (whole["n1"] + whole["n2"])
    people = binomial_tail(column["users2"], column["users1"] + column["users2"], expected)
    p = np.maximum(upper_tail(log_ratio / np.sqrt(variance)), people)
    ratio = log_interval(log_ratio, variance, confidence=scope.config.confidence)
    return _Tested(ratio, p, benjamini_hochberg(p))


def _answer(
    scope: Scope, frame: pa.Table, totals: pa.Table, *, title: str, method: str, names: tuple[str, str]
) -> Analysis:
    tested = _tested(scope, frame, totals)
    is_rising = tested.q <= scope.config.false_discovery_rate
    order = np.lexsort((-tested.ratio.lower, ~is_rising))
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.where(
            frame["shown1"].to_numpy() > 0, frame["shown2"].to_numpy() / frame["shown1"].to_numpy(), np.nan
        )
    added = {
        "ratio": tested.ratio.value,
        "lower": tested.ratio.lower,
        "upper": tested.ratio.upper,
        "shown_ratio": shown,
        "q": tested.q,
        "is_rising": is_rising,
    }
    kept = frame.select(["name", "title", "n1", "n2", "users2"])
    for name, values in added.items():
        kept = kept.append_column(name, pa.array(values))
    table = kept.take(pa.array(order[:_KEPT]))
    return Analysis(
        title=title,
        group=Group.TRENDS,
        findings=_findings(scope, table, number=frame.num_rows, risen=int(is_rising.sum()), names=names),
        method=method,
        table=table,
        columns=_columns(names[0], has_title=table["title"].null_count < table.num_rows),
        charts=_chart(table, names),
    )


def _columns(one: str, *, has_title: bool) -> tuple[Column, ...]:
    return (
        Column("name", one.capitalize(), Kind.TEXT),
        *((Column("title", "Title", Kind.TEXT),) if has_title else ()),
        Column("ratio", "Share of interest, ratio", Kind.RATIO),
        Column("lower", "Lower", Kind.RATIO),
        Column("upper", "Upper", Kind.RATIO),
        Column("n1", "Events before"),
        Column("n2", "Events now"),
        Column("users2", "People now"),
        Column("shown_ratio", "Shown, ratio", Kind.RATIO),
        Column("q", "False discovery rate", Kind.PROBABILITY),
    )


def _findings(scope: Scope, table: pa.Table, *, number: int, risen: int, names: tuple[str, str]) -> tuple[str, ...]:
    one, many = names
    if not risen:
        return (
            f"Nothing rises: none of {number:,} {many} with {scope.config.least_users} people or more has a larger"
            f" share of the interest than the window before, at a false discovery rate of"
            f" {scope.config.false_discovery_rate:.0%}.",
        )
    top = table.slice(0, 1).to_pylist()[0]
    ratio = with_interval(top["ratio"], top["lower"], top["upper"], Kind.RATIO)
    verb = "rises" if risen == 1 else "rise"
    return (
        f"{risen:,} of {number:,} {many if number > 1 else one} with {scope.config.least_users} people or more {verb},"
        f" at a false discovery rate of {scope.config.false_discovery_rate:.0%}.",
        f"By the lower end of its interval {one} {called(top)} leads: {ratio} its former share of the interest,"
        f" from {round(top['n1']):,} events to {round(top['n2']):,} by {round(top['users2']):,} people"
        + ("." if math.isnan(top["shown_ratio"]) else f"; it was shown {top['shown_ratio']:.2f} times as often."),
    )


def _chart(table: pa.Table, names: tuple[str, str]) -> tuple[Dots, ...]:
    rows = [row for row in table.slice(0, _DRAWN).to_pylist() if row["is_rising"]]
    dots = tuple(Dot(called(row), row["ratio"], row["lower"], row["upper"], is_finding=True) for row in rows)
    words = f"Share of all interest that each {names[0]} has, as a multiple of the window before"
    return (Dots(words, dots, Kind.RATIO, reference=1.0, is_log=True),) if dots else ()


def called(row: Mapping[str, object]) -> str:
    """Return what a row is called: its title where it has one."""
    return shortened(str(row["title"] or row["name"]))


def _method(scope: Scope, one: str, many: str) -> str:
    windows = (
        ""
        if scope.is_order_only
        else (
            f"The windows are {span(scope.middle - scope.window, scope.middle)} and {span(scope.middle, scope.end)}. "
        )
    )
    return (
        f"{windows}Interest is {scope.label_words}. Each {one}'s share of all interest is compared between the windows."
        " The variance is that of drawing people, whose events count together, and at least that of Poisson counts; the"
        " number of people must rise beyond an exact binomial as well, and the larger p-value counts. The family of all"
        f" {many} is corrected by Benjamini and Hochberg. Chance among people is accounted for, an event outside (a"
        " holiday, a change of the recommender) is not: compare with how often it was shown. Each interval is"
        " of its own,"
        " and what leads among many is flattered by the choice."
    )
