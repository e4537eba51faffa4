"""Whose taste is changing: what each segment of people is interested in, in the newest window and the one before."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from monitoring.analysis.result import Analysis, Column, Dot, Dots, Group, Kind, silent
from monitoring.analysis.scope import Scope, column_of
from monitoring.analysis.statistics import Floats, benjamini_hochberg
from monitoring.analysis.words import shortened, span

_TITLE: Final = "Taste by segment"
_DRAWS: Final = 999
_BUCKETS: Final = 64
_SEGMENTS: Final = 40
_DRAWN: Final = 14


def analyse(scope: Scope) -> Analysis:
    """Return how far each segment's interest in topics moved between the two windows, beyond chance among people."""
    method = _method(scope)
    if scope.is_order_only:
        because = "This data set has an order of events and no times, so taste cannot be compared between windows."
        return silent(_TITLE, Group.TRENDS, because=because, method=method)
    if "topic" not in scope.columns:
        because = "The items of this data set have no topic (column category), so taste has nothing to move between."
        return silent(_TITLE, Group.TRENDS, because=because, method=method)
    moved = [_moved(scope, counts) for counts in _counted(scope)]
    if not moved:
        because = f"No segment has {scope.config.least_users} people with interest in both windows."
        return silent(_TITLE, Group.TRENDS, because=because, method=method)
    q = benjamini_hochberg(np.array([one.p for one in moved]))
    is_drift = q <= scope.config.false_discovery_rate
    order = np.lexsort((-np.array([one.distance - one.chance for one in moved]), ~is_drift))
    table = pa.Table.from_pylist(
        [_row(moved[place], q=float(q[place]), is_drift=bool(is_drift[place])) for place in order]
    )
    return Analysis(
        title=_TITLE,
        group=Group.TRENDS,
        findings=_findings(scope, table.to_pylist()),
        method=method,
        table=table,
        columns=(
            Column("segment", "Segment", Kind.TEXT),
            Column("users", "People"),
            Column("distance", "Interest that moved", Kind.SHARE),
            Column("lower", "Lower", Kind.SHARE),
            Column("upper", "Upper", Kind.SHARE),
            Column("chance", "By chance, at most", Kind.SHARE),
            Column("topic", "Topic that moved most", Kind.TEXT),
            Column("before", "Its share before", Kind.SHARE),
            Column("after", "Now", Kind.SHARE),
            Column("q", "False discovery rate", Kind.PROBABILITY),
        ),
        charts=(_chart(table),),
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """Interest of one segment: ``(B, 2, C)`` by bucket of people, window and topic."""

    segment: str
    users: int
    topics: tuple[str, ...]
    interest: Floats


@dataclass(frozen=True)
class _Moved:
    segment: str
    users: int
    distance: float
    lower: float
    upper: float
    chance: float
    p: float
    topic: str
    before: float
    after: float


def _method(scope: Scope) -> str:
    windows = (
        ""
        if scope.is_order_only
        else f"The windows are {span(scope.middle - scope.window, scope.middle)} and {span(scope.middle, scope.end)}. "
    )
    return (
        f"{windows}Interest is {scope.label_words}, by main topic. What moved is the total variation distance: the"
        " share of the interest that would have to change topic. Chance alone moves something too: the windows of"
        f" {_BUCKETS} random groups of the segment's people are swapped {_DRAWS} times, and the 95th percentile is what"
        " chance does at most. The interval draws the groups again and is centred on the estimate less the bias that"
        " drawing adds. Segments are attributes of people with 2 to 12 values, and thirds by number of events; their"
        " family is corrected by Benjamini and Hochberg. What people are shown changes too, and taste is"
        " seen through it."
    )


def _counted(scope: Scope) -> list[_Counts]:
    """Return the interest of every segment with enough people, the largest first, all people before."""
    attributes = "".join(
        f""" UNION ALL SELECT user, bucket, '{name.replace("'", "''")}: ' || {column_of(name)} AS segment
        FROM people WHERE {column_of(name)} IS NOT NULL"""  # noqa: S608 - quoted
        for name in scope.attributes
    )
    frame = scope.query(
        f"""WITH thirds AS (SELECT user, bucket, ntile(3) OVER (ORDER BY events, user) AS third FROM people),
        segments AS (
            SELECT user, bucket, 'everybody' AS segment FROM people
            UNION ALL
            SELECT user, bucket, 'activity: ' || ['least active third', 'middle third', 'most active third'][third]
            FROM thirds {attributes}
        ), wanted AS (
            SELECT user, topic, part, sum(interest)::DOUBLE AS interest FROM events
            WHERE part > 0 AND topic IS NOT NULL AND interest > 0 GROUP BY ALL
        ), sizes AS (
            SELECT segment, count(DISTINCT user) AS users FROM segments JOIN wanted USING (user) GROUP BY segment
            HAVING users >= {scope.config.least_users} AND count(DISTINCT part) = 2
            ORDER BY users DESC, segment LIMIT {_SEGMENTS}
        )
        SELECT segment, users, topic, bucket, part - 1 AS part, sum(interest) AS interest
        FROM segments JOIN sizes USING (segment) JOIN wanted USING (user)
        GROUP BY ALL ORDER BY users DESC, segment, topic, bucket, part"""  # noqa: S608 - numbers and quoted names
    )
    segments = frame["segment"].dictionary_encode().combine_chunks()
    places = segments.indices.to_numpy()
    found = []
    for number, name in enumerate(segments.dictionary.to_pylist()):
        rows = frame.filter(pa.array(places == number))
        topics = rows["topic"].dictionary_encode().combine_chunks()
        counts = np.zeros((_BUCKETS, 2, len(topics.dictionary)))
        where = (rows["bucket"].to_numpy(), rows["part"].to_numpy(), topics.indices.to_numpy())
        counts[where] = rows["interest"].to_numpy()
        found.append(_Counts(name, int(rows["users"][0].as_py()), tuple(topics.dictionary.to_pylist()), counts))
    return found


def _moved(scope: Scope, counts: _Counts) -> _Moved:
    rng = np.random.default_rng(scope.config.seed)
    sums = counts.interest.sum(axis=0)  # (2, C)
    observed = float(_distance(sums[None])[0])
    swaps = rng.integers(0, 2, (_DRAWS, _BUCKETS)).astype(np.float64)
    straight, crossed = counts.interest, counts.interest[:, ::-1]
    swapped = np.einsum("db,bwc->dwc", 1 - swaps, straight) + np.einsum("db,bwc->dwc", swaps, crossed)
    chance = _distance(swapped)
    weights = rng.multinomial(_BUCKETS, np.full(_BUCKETS, 1 / _BUCKETS), size=_DRAWS).astype(np.float64)
    drawn = _distance(np.einsum("db,bwc->dwc", weights, straight))
    level = (1 - scope.config.confidence) / 2
    low, high = np.quantile(2 * observed - drawn, [level, 1 - level])
    shares = sums / sums.sum(axis=1, keepdims=True)
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return _Moved(
        segment=counts.segment,
        users=counts.users,
        distance=observed,
        lower=max(float(low), 0.0),
        upper=min(float(high), 1.0),
        chance=float(np.quantile(chance, 0.95)),
        p=(1 + int((chance >= observed - 1e-12).sum())) / (1 + _DRAWS),
        topic=counts.topics[most],
        before=float(shares[0, most]),
        after=float(shares[1, most]),
    )


def _distance(sums: NDArray[np.float64]) -> Floats:
    """Return the total variation distance of the two windows, ``(D, 2, C)`` to ``(D,)``; 0 where a window is empty."""
    totals = sums.sum(axis=2, keepdims=True)
    shares = sums / np.maximum(totals, 1e-300)
    distance: Floats = np.abs(shares[:, 1] - shares[:, 0]).sum(axis=1) / 2
    return np.where((totals > 0).all(axis=(1, 2)), distance, 0.0)


def _row(one: _Moved, *, q: float, is_drift: bool) -> dict[str, object]:
    return {**vars(one), "q": q, "is_drift": is_drift}


def _findings(scope: Scope, rows: list[dict[str, float]]) -> tuple[str, ...]:
    drifted = [row for row in rows if row["is_drift"]]
    if not drifted:
        top = rows[0]
        return (
            f"No taste moves beyond chance in any of {len(rows)} segments, at a false discovery rate of"
            f" {scope.config.false_discovery_rate:.0%}; most in {top['segment']}, {top['distance']:.1%} of the interest"
            f" ({top['lower']:.1%} to {top['upper']:.1%}), where chance moves up to {top['chance']:.1%}.",
        )
    top = drifted[0]
    return (
        f"Taste moves beyond chance in {len(drifted)} of {len(rows)} segments, at a false discovery rate of"
        f" {scope.config.false_discovery_rate:.0%}.",
        f"Most in {top['segment']}: {top['distance']:.1%} of the interest ({top['lower']:.1%} to {top['upper']:.1%}),"
        f" where chance moves up to {top['chance']:.1%}; topic {top['topic']} went from {top['before']:.1%}"
        f" to {top['after']:.1%}.",
    )


def _chart(table: pa.Table) -> Dots:
    dots = tuple(
        Dot(shortened(row["segment"]), row["distance"], row["lower"], row["upper"], is_finding=row["is_drift"])
        for row in table.slice(0, _DRAWN).to_pylist()
    )
    return Dots("Share of the interest that moved to other topics, by segment", dots, Kind.SHARE)
