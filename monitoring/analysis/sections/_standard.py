"""Who is finished more often than videos of that length on that surface are: observed against expected, over people."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitoring.analysis.scope import Scope
from monitoring.analysis.sections.watch_time import BAND
from monitoring.analysis.statistics import (
    Estimates,
    Floats,
    Sums,
    benjamini_hochberg,
    binomial_tail,
    ratio_of_sums,
    upper_tail,
    wilson,
)

_LEAST_OF_CELL = 30


@dataclass(frozen=True, eq=False)
class Standardised:
    """Finished exposures against those expected of the same lengths and surfaces.

    Attributes:
        frame: One row a name: `name`, `title`, `users`, `shown`, `finished`, `expected`.
        ratio: Finished over expected, with intervals.
        q: ``(G,)`` false discovery rate of a ratio above 1.
    """

    frame: pa.Table
    ratio: Estimates
    q: Floats


def standardised(scope: Scope, by: str) -> Standardised:
    """Return each `by` with enough people.

    The interval is Wilson's of the rate, at the number of independent exposures that drawing people makes of them,
    over the expected rate. A ratio above 1 must also be unlikely as an exact binomial of the mean expected rate.
    """
    frame = _summed(scope, by)
    users, y, x, yy, xy, xx, n = (
        np.asarray(frame[name].to_numpy(), np.float64)
        for name in ("users", "finished", "expected", "yy", "xy", "xx", "shown")
    )
    ratio, variance = ratio_of_sums(Sums(users, y, x, yy, xy, xx))
    usual, rate = x / n, y / n
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (ratio - 1) / np.sqrt(np.maximum(variance, (1 - usual) / x))
        worth = rate * (1 - rate) / (variance * usual**2)
    p = np.where(ratio > 0, np.maximum(upper_tail(z), binomial_tail(y, n, usual)), 1.0)
    is_inside = (rate > 0) & (rate < 1) & (variance > 0)
    rates = wilson(rate, np.where(is_inside, np.minimum(worth, n), users), confidence=scope.config.confidence)
    bounds = Estimates(ratio, rates.lower / usual, rates.upper / usual)
    return Standardised(frame.drop_columns(["yy", "xy", "xx"]), bounds, benjamini_hochberg(p))


def _summed(scope: Scope, by: str) -> pa.Table:
    is_item = by == "item"
    return scope.query(
        f"""WITH judged AS (
            SELECT {by} AS name, user, finished, {BAND} AS band, surface FROM events
            WHERE finished IS NOT NULL AND {by} IS NOT NULL
        ), cells AS (
            SELECT *, CASE WHEN count(*) OVER (PARTITION BY band, surface) >= {_LEAST_OF_CELL}
                THEN avg(finished) OVER (PARTITION BY band, surface)
                ELSE avg(finished) OVER (PARTITION BY band) END AS usual
            FROM judged
        ), mine AS (
            SELECT name, user, sum(finished)::DOUBLE AS y, sum(usual) AS x, count(*) AS n FROM cells GROUP BY ALL
        ), summed AS (
            SELECT name, count(*)::DOUBLE AS users, sum(n)::DOUBLE AS shown, sum(y) AS finished, sum(x) AS expected,
                sum(y * y) AS yy, sum(x * y) AS xy, sum(x * x) AS xx
            FROM mine GROUP BY name HAVING users >= {scope.config.least_users} AND expected > 0
        )
        SELECT summed.*, {"title" if is_item else "NULL::VARCHAR AS title"} FROM summed
        {"LEFT JOIN catalogue ON item = name" if is_item else ""} ORDER BY name"""  # noqa: S608 - names and a number
    )
