"""Drift check: every daily figure against its own history."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
from pydantic import Field

from monitoring.drift.alignment import OWN_DAYS, align
from monitoring.drift.figures import FiguresConfig, daily_figures
from monitoring.drift.judge import DriftConfig, check_figures
from monitoring.drift.series import Figures, Series
from monitoring.result import CheckResult, Status
from recmodels.data import schema

_ANSWERS = tuple(f"{column}_rate" for column in schema.FEEDBACK_COLUMNS)
_REQUIRED = (schema.TIMESTAMP, schema.USER_ID, schema.ITEM_ID, schema.SURFACE)


class Config(DriftConfig):
    """When a figure has drifted, and which figures there are."""

    figures: FiguresConfig = Field(default_factory=FiguresConfig)
    champion_days: tuple[date, ...] = ()
    """Days on which another model began to serve: what people are shown, they consume, so that what is consumed and how
    it is answered then have a level of their own; see `monitoring.drift.alignment`. Empty where no gateway serves."""
    own_days: int = Field(OWN_DAYS, ge=1)
    """Days of its own from which that level is learned."""
    is_last_day_partial: bool = False
    """The last day is still running, so its volume says nothing yet."""


def check(reference: pa.Table, current: pa.Table, *, items: pa.Table, config: Config) -> list[CheckResult]:
    """Judge the last day of `current` by the days before it.

    Args:
        reference: Past events, in the schema `INTERACTIONS`.
        current: Newer events; may be several days.
        items: The items, in the schema `ITEMS`.
        config: When a figure has drifted.

    Returns:
        One result a figure. One result `insufficient` where `current` is empty or lacks what every figure needs. A
        column that changed its type gives no figure here: the check `schema` tells of it.
    """
    if current.num_rows == 0:
        return [
            _insufficient("the window holds no rows: nothing can be said about drift. See whether the source delivers.")
        ]
    together = joined(reference, current)
    missing = [name for name in _REQUIRED if name not in together.column_names]
    if missing:
        return [_insufficient(f"the window lacks or changed {', '.join(missing)}: no figure can be computed.")]
    figures = _aligned(daily_figures(together, items, config=config.figures), config)
    return check_figures(figures, config, is_last_day_partial=config.is_last_day_partial)


def _aligned(figures: Figures, config: Config) -> Figures:
    """Move the days of earlier models to the level of the newest one, in the figures that follow what is shown."""
    begins = [int((np.datetime64(one, "D") - figures.days[0]).astype(int)) for one in sorted(config.champion_days)]
    aligned = {
        key: align(one, begins, own_days=config.own_days) if _follows_what_is_shown(one) else one
        for key, one in figures.series.items()
    }
    return replace(figures, series=aligned)


def _follows_what_is_shown(series: Series) -> bool:
    return series.family == "catalogue" or series.name in _ANSWERS


def joined(reference: pa.Table, current: pa.Table) -> pa.Table:
    """Return both windows as one table of the reference's types.

    A nullable column that `current` lacks is null there; one whose values cannot be of the reference's type, and a
    required one that is missing, are left out.
    """
    columns: dict[str, pa.ChunkedArray] = {}
    for field in reference.schema:
        if field.name in current.column_names:
            try:
                newer = current[field.name].cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
        elif field.name in _REQUIRED:
            continue
        else:
            newer = pa.chunked_array([pa.nulls(current.num_rows, field.type)])
        columns[field.name] = pa.chunked_array([*reference[field.name].chunks, *newer.chunks], field.type)
    return pa.table(columns)


def _insufficient(message: str) -> CheckResult:
    return CheckResult("volume", "population", Status.INSUFFICIENT, message=message)
