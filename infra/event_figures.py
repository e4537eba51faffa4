"""What the two arms of a rollout did, by unit: summed by the database, handed over as arrays."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, case, func, select

from infra.columns import from_microseconds, to_microseconds
from infra.event_records import ArmFigures, Reward, RolloutFigures, outcomes, requests
from recmodels.assignment import Arm
from recmodels.data import schema

_SLOW_QUANTILE: Final = 0.99
_FLAGS: Final = ("error", "slow", "short", "fallback")


def rollout_figures(
    connection: Connection,
    rollout_id: str,
    *,
    reward: Reward,
    matured_before: datetime,
    step: int | None,
    slow_floor_seconds: float,
) -> RolloutFigures:
    """Return what the two arms of a rollout did in requests answered before `matured_before`; see `EventStore`."""
    limit = to_microseconds(matured_before)
    served = _judged(requests, rollout_id, step=step)
    matured = and_(served, requests.c.timestamp < limit)
    rewarded = and_(_judged(outcomes, rollout_id, step=step), outcomes.c.requested_at < limit)
    totals = {row.arm: row for row in connection.execute(_totals(served))}
    slow = max(_slow_seconds(connection, matured), slow_floor_seconds)
    arms = {}
    for arm in (Arm.CANARY, Arm.CONTROL):
        units = connection.execute(_units(and_(served, requests.c.arm == arm), limit=limit, slow=slow)).all()
        sums = connection.execute(_rewards(and_(rewarded, outcomes.c.arm == arm), reward)).all()
        arms[arm] = _arm_figures(units, sums, totals.get(arm))
    newest = max((row.newest for row in totals.values()), default=None)
    return RolloutFigures(
        canary=arms[Arm.CANARY],
        control=arms[Arm.CONTROL],
        assigned_canary=totals[Arm.CANARY].assigned if Arm.CANARY in totals else 0,
        assigned_control=totals[Arm.CONTROL].assigned if Arm.CONTROL in totals else 0,
        newest_at=None if newest is None else from_microseconds(newest),
        slow_seconds=slow,
    )


def _judged(table: Table, rollout_id: str, *, step: int | None) -> ColumnElement[bool]:
    chosen = and_(table.c.rollout_id == rollout_id, table.c.arm.in_((Arm.CANARY, Arm.CONTROL)))
    return chosen if step is None else and_(chosen, table.c.step == step)


def _totals(chosen: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            requests.c.arm,
            func.count().label("requests"),
            func.count(requests.c.user_key.distinct()).label("assigned"),
            func.sum(_as_number(requests.c.is_error)).label("errors"),
            func.sum(_as_number(requests.c.is_non_finite)).label("non_finite"),
            func.sum(requests.c.num_blocked).label("blocked"),
            func.max(requests.c.timestamp).label("newest"),
        )
        .where(chosen)
        .group_by(requests.c.arm)
    )


def _slow_seconds(connection: Connection, matured: ColumnElement[bool]) -> float:
    """Return the control's 99th percentile of latency (nearest rank); infinite where it has no request."""
    control = and_(matured, requests.c.arm == Arm.CONTROL)
    count: int = connection.execute(select(func.count()).where(control)).scalar_one()
    if count == 0:
        return math.inf
    rank = math.ceil(_SLOW_QUANTILE * count) - 1
    query = select(requests.c.latency_seconds).where(control).order_by(requests.c.latency_seconds)
    return float(connection.execute(query.offset(rank).limit(1)).scalar_one())


def _units(served: ColumnElement[bool], *, limit: int, slow: float) -> Select[Any]:
    """Select each unit's matured items, and its flags from every request: a failure needs no label to be seen."""
    is_slow = requests.c.latency_seconds > slow
    return (
        select(
            requests.c.user_key,
            func.sum(case((requests.c.timestamp < limit, requests.c.num_items), else_=0)),
            func.max(_as_number(requests.c.is_error)),
            func.max(_as_number(is_slow)),
            func.max(_as_number(requests.c.num_items < requests.c.num_requested)),
            func.max(_as_number(requests.c.is_fallback)),
        )
        .where(served)
        .group_by(requests.c.user_key)
    )


def _rewards(rewarded: ColumnElement[bool], reward: Reward) -> Select[Any]:
    value: ColumnElement[float] = outcomes.c.value
    if reward.cap is not None:
        value = case((value > reward.cap, reward.cap), else_=value)
    counted = and_(rewarded, outcomes.c.is_first, outcomes.c.kind.in_((reward.kind, schema.HIDDEN)))
    if reward.label_window_seconds is not None:
        window = int(reward.label_window_seconds * 1e6)
        counted = and_(counted, outcomes.c.timestamp - outcomes.c.requested_at <= window)
    is_hidden = and_(outcomes.c.kind == schema.HIDDEN, outcomes.c.value > 0)
    return (
        select(
            outcomes.c.user_key,
            func.sum(case((outcomes.c.kind == reward.kind, value), else_=0.0)),
            func.max(_as_number(is_hidden)),
        )
        .where(counted)
        .group_by(outcomes.c.user_key)
    )


def _as_number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _arm_figures(units: Sequence[Row[Any]], rewarded: Sequence[Row[Any]], totals: Row[Any] | None) -> ArmFigures:
    keys, columns = _by_user(units, width=5)
    rewarded_keys, sums = _by_user(rewarded, width=2)
    places = np.searchsorted(keys, rewarded_keys)
    reward, is_hidden = np.zeros(len(keys)), np.zeros(len(keys), dtype=np.bool_)
    reward[places], is_hidden[places] = sums[:, 0], sums[:, 1] > 0
    flags = {name: columns[:, place] > 0 for place, name in enumerate(_FLAGS, start=1)}
    return ArmFigures(
        user_keys=keys,
        impressions=columns[:, 0],
        reward=reward,
        flags={**flags, "hidden": is_hidden},
        requests=totals.requests if totals else 0,
        request_errors=totals.errors if totals else 0,
        non_finite=totals.non_finite if totals else 0,
        blocked=totals.blocked if totals else 0,
    )


def _by_user(rows: Sequence[Row[Any]], *, width: int) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Return the sorted user keys (n,) and their figures (n, width) of rows that begin with the key."""
    if not rows:
        return np.empty(0, dtype=np.str_), np.empty((0, width))
    keys, *columns = zip(*rows, strict=True)
    names = np.asarray(keys)
    order = np.argsort(names)  # the database sorts by its own collation
    return names[order], np.asarray(columns, dtype=np.float64).T[order]
