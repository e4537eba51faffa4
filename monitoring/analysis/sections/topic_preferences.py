"""Which topics people like more, or less, than the average."""

from typing import Final

import numpy as np
import pyarrow as pa

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope
from monitoring.analysis.sections._shares import intervals, summed, with_columns
from monitoring.analysis.words import shortened, with_interval

_TITLE: Final = "Topics that people like"
_DRAWN: Final = 14


def analyse(scope: Scope) -> Analysis:
    """Return the share of exposures that met interest, by main topic, with intervals over people."""
    method = _method(scope)
    if scope.label == "any":
        because = (
            "Nothing tells interest from mere exposure in this data set, so no topic can be said to be liked more."
        )
        return silent(_TITLE, Group.PREFERENCES, because=because, method=method)
    if "topic" not in scope.columns:
        because = "The items of this data set have no topic (column category)."
        return silent(_TITLE, Group.PREFERENCES, because=because, method=method)
    frame = summed(scope, by="topic", hits="interest")
    if not frame.num_rows:
        because = f"No topic was shown to {scope.config.least_users} people."
        return silent(_TITLE, Group.PREFERENCES, because=because, method=method)
    return _answer(scope, frame, method=method)


_COLUMNS: Final = (
    Column("name", "Topic", Kind.TEXT),
    Column("share", "Met interest", Kind.SHARE),
    Column("lower", "Lower", Kind.SHARE),
    Column("upper", "Upper", Kind.SHARE),
    Column("x", "Exposures"),
    Column("users", "People"),
)


def _method(scope: Scope) -> str:
    return (
        f"Interest is {scope.label_words}. The share is over exposures, its interval over people (the variance of a"
        " ratio when people are drawn, in Wilson's form). A topic stands out where its interval excludes the share"
        " over all topics, each by itself. What is shown is chosen for people, so this is what they like of it."
    )


def _answer(scope: Scope, frame: pa.Table, *, method: str) -> Analysis:
    found = intervals(scope, frame)
    overall = float(scope.query("SELECT avg(interest) AS rate FROM events WHERE topic IS NOT NULL")["rate"][0].as_py())
    stands_out = np.where(found.lower > overall, 1, np.where(found.upper < overall, -1, 0))
    table = with_columns(
        frame.select(["name", "users", "x"]),
        share=found.value,
        lower=found.lower,
        upper=found.upper,
        stands_out=stands_out,
    ).sort_by([("share", "descending"), ("name", "ascending")])
    rows = table.to_pylist()
    liked, less = rows[0], rows[-1]
    top = sorted(rows, key=lambda row: -row["x"])[:_DRAWN]
    dots = tuple(
        Dot(shortened(str(row["name"])), row["share"], row["lower"], row["upper"], is_finding=row["stands_out"] != 0)
        for row in sorted(top, key=lambda row: -row["share"])
    )
    return Analysis(
        title=_TITLE,
        group=Group.PREFERENCES,
        findings=(
            f"Of all exposures {overall:.1%} met interest. {int((stands_out > 0).sum())} of {len(rows)} topics are"
            f" above it and {int((stands_out < 0).sum())} below, beyond chance among people.",
            f"Topic {liked['name']} is liked most, {_rate(liked)}, topic {less['name']} least, {_rate(less)}.",
        ),
        method=method,
        table=table,
        columns=_COLUMNS,
        charts=(
            Dots("Share of exposures that met interest, of the topics shown most", dots, Kind.SHARE, reference=overall),
        ),
    )


def _rate(row: dict[str, float]) -> str:
    return with_interval(row["share"], row["lower"], row["upper"], Kind.SHARE)
