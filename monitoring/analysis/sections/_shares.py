"""Shares over events with intervals over people: the sums that DuckDB makes for them."""

import numpy as np
import pyarrow as pa

from monitoring.analysis.scope import Scope
from monitoring.analysis.statistics import Estimates, Sums, share_interval

_SUMS = ("users", "y", "x", "yy", "xy", "xx")


def summed(
    scope: Scope,
    *,
    by: str,
    hits: str,
    of: str = "1",
    source: str = "events",
    where: str = "TRUE",
    order: str = "x DESC",
) -> pa.Table:
    """Return one row a group: `name`, and what `Sums` holds, for groups with enough people.

    Args:
        scope: The events.
        by: SQL of the group.
        hits: SQL of what is counted of an event.
        of: SQL of what it is counted of.
        source: Relation with the column `user`.
        where: SQL of which rows count.
        order: SQL of the order of the groups; names break ties.
    """
    return scope.query(
        f"""WITH mine AS (
            SELECT {by} AS name, user, sum({hits})::DOUBLE AS y, sum({of})::DOUBLE AS x
            FROM {source} WHERE {where} AND ({hits}) IS NOT NULL AND ({by}) IS NOT NULL GROUP BY ALL
        )
        SELECT name, count(*)::DOUBLE AS users, sum(y) AS y, sum(x) AS x, sum(y * y) AS yy, sum(x * y) AS xy,
            sum(x * x) AS xx
        FROM mine GROUP BY name HAVING users >= {scope.config.least_users} ORDER BY {order}, name"""  # noqa: S608
    )


def sums_of(frame: pa.Table) -> Sums:
    """Return the sums of a frame of `summed`."""
    return Sums(**{name: np.asarray(frame[name].to_numpy(), np.float64) for name in _SUMS})


def intervals(scope: Scope, frame: pa.Table) -> Estimates:
    """Return the share of each group of `summed` with its interval over people."""
    return share_interval(sums_of(frame), confidence=scope.config.confidence)


def with_columns(frame: pa.Table, **columns: object) -> pa.Table:
    """Return the frame with columns appended."""
    for name, values in columns.items():
        frame = frame.append_column(name, pa.array(values))
    return frame
