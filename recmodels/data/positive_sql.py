"""The rule of `recmodels.data.interactions.positives` as SQL, for files that are never read whole."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from recmodels.data.interactions import MEASURES, as_utc
from recmodels.data.schema import (
    CLICKED,
    EXPOSED_AT,
    INTERACTIONS,
    ITEM_ID,
    ORIGIN,
    ORIGIN_REPLAY,
    TIMESTAMP,
    USER_ID,
)
from recmodels.errors import DataError

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import DataConfig


def condition_of(columns: Collection[str], data: DataConfig, before: datetime | None) -> str:
    """Return the SQL of which rows count.

    Args:
        columns: Those that the files have; others of the contract count as null.
        data: The label.
        before: Only events before this moment.

    Raises:
        DataError: The label's column is none of them.
    """
    parts = [f"{USER_ID} IS NOT NULL", f"{ITEM_ID} IS NOT NULL"]
    if ORIGIN in columns:
        parts.append(f"{ORIGIN} <> {quoted(ORIGIN_REPLAY)}")
    if before is not None:
        parts.append(f"epoch_us({TIMESTAMP}) < {round(as_utc(before).timestamp() * 1e6)}")
    if data.label == "any":
        if EXPOSED_AT in columns and CLICKED in columns:
            parts.append(f"NOT ({EXPOSED_AT} IS NOT NULL AND NOT coalesce({CLICKED}, true))")
        return " AND ".join(parts)
    if data.label not in columns:
        known = [field.name for field in INTERACTIONS if field.name in columns]
        raise DataError(f"the files lack the label's column {data.label!r}; they have {known}. Choose another label.")
    if data.label in MEASURES:  # DuckDB holds NaN above every number
        parts.append(f"{data.label} >= {data.label_minimum!r} AND NOT isnan({data.label})")
    else:
        parts.append(data.label)
    return " AND ".join(parts)


def quoted(text: str) -> str:
    """Return a text as SQL."""
    return "'" + text.replace("'", "''") + "'"
