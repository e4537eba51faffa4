"""What challengers answered in their shadow stage: written in groups, summed for the judge, dropped afterwards."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select

from infra.columns import from_microseconds, to_microseconds
from infra.database import Database
from infra.rollout_records import rollouts
from infra.shadow_records import ShadowAnswer, ShadowFigures, shadow_answers

__all__ = ["ShadowAnswer", "ShadowFigures", "ShadowStore"]

_PLAIN_COLUMNS: Final = (
    "request_id",
    "rollout_id",
    "overlap",
    "latency_seconds",
    "champion_seconds",
    "num_requested",
    "num_blocked",
    "is_error",
    "is_non_finite",
    "is_late",
)
_LISTS: Final = ("item_ids", "champion_item_ids")
_FIGURES: Final = (
    "timestamp",
    *_LISTS,
    "overlap",
    "latency_seconds",
    "champion_seconds",
    "num_blocked",
    "is_error",
    "is_non_finite",
    "is_late",
)
_READ_LIMIT: Final = 100_000


class ShadowStore:
    """Comparisons of the shadow stage, over one database.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, answers: Sequence[ShadowAnswer]) -> int:
        """Keep comparisons, all of them in one transaction; it is durable when this returns.

        Returns:
            How many were new.
        """
        if not answers:
            return 0
        with self._database.begin() as connection:
            return self._database.insert_new(connection, shadow_answers, [_row(answer) for answer in answers])

    def figures(self, rollout_id: str, *, limit: int = _READ_LIMIT) -> ShadowFigures:
        """Return what one rollout's shadow stage saw, from its newest `limit` comparisons."""
        query = select(*[shadow_answers.c[name] for name in _FIGURES])
        query = query.where(shadow_answers.c.rollout_id == rollout_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(shadow_answers.c.timestamp.desc()).limit(limit)).all()
        columns = dict(zip(_FIGURES, zip(*rows, strict=True) if rows else [()] * len(_FIGURES), strict=True))
        return _sum(columns)

    def forget_finished(self) -> int:
        """Delete the comparisons of every rollout that is over; return how many they were.

        Its verdicts keep what was concluded from them.
        """
        active = select(rollouts.c.rollout_id).where(rollouts.c.active == 1)
        with self._database.begin() as connection:
            return connection.execute(delete(shadow_answers).where(shadow_answers.c.rollout_id.not_in(active))).rowcount


def _row(answer: ShadowAnswer) -> dict[str, Any]:
    row = {name: getattr(answer, name) for name in _PLAIN_COLUMNS}
    row["timestamp"] = to_microseconds(answer.timestamp)
    for name in _LISTS:
        row[name] = msgspec.json.encode(getattr(answer, name)).decode()
    return row


def _sum(columns: Mapping[str, Sequence[Any]]) -> ShadowFigures:
    moments = columns["timestamp"]
    failed = np.asarray(columns["is_error"], dtype=np.bool_)
    answered = ~(failed | np.asarray(columns["is_late"], dtype=np.bool_))
    lists, shown = (_decode(columns[name]) for name in _LISTS)
    lengths, shown_lengths = (np.array([len(items) for items in column], np.int64) for column in (lists, shown))
    seconds = np.asarray(columns["latency_seconds"], np.float64)[~failed]
    overlap = np.asarray(columns["overlap"], np.float64)[answered]
    return ShadowFigures(
        requests=len(moments),
        errors=int(failed.sum()),
        late=int(sum(columns["is_late"])),
        non_finite=int(sum(columns["is_non_finite"])),
        blocked=int(sum(columns["num_blocked"])),
        short=int((lengths < shown_lengths)[answered].sum()),
        overlap_mean=float(overlap.mean()) if len(overlap) else math.nan,
        distinct_items=len(set().union(*lists)),
        champion_distinct_items=len(set().union(*shown)),
        median_seconds=_quantile(seconds, 0.5),
        p99_seconds=_quantile(seconds, 0.99),
        champion_p99_seconds=_quantile(np.asarray(columns["champion_seconds"], np.float64), 0.99),
        first_at=from_microseconds(min(moments)) if moments else None,
        newest_at=from_microseconds(max(moments)) if moments else None,
    )


def _decode(texts: Sequence[str]) -> list[list[str]]:
    """Decode the JSON arrays of many rows at once."""
    return msgspec.json.decode("[" + ",".join(texts) + "]", type=list[list[str]])


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else math.nan
