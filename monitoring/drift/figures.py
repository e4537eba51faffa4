"""Daily figures: a table of events becomes one short series a figure, which is all that is judged and kept."""

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from monitoring.drift import _catalogue, _columns, _population
from monitoring.drift._rows import encode, encode_rows, pair_counts
from monitoring.drift.series import Figures
from recmodels.data import schema


class FiguresConfig(BaseModel):
    """Which figures are followed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_days: int = Field(28, ge=1)
    """Days before a day that decide which items were popular; figures that need them start after as many days."""
    history_days: int = Field(56, ge=1)
    """First days of the table, which fix the categories and surfaces that get a figure of their own."""
    categories: int = Field(6, ge=0)
    """Main categories followed, the largest first."""
    surfaces: int = Field(6, ge=0)
    """Surfaces followed, the largest first."""
    minimum_surface_share: float = Field(0.02, ge=0, le=1)
    """A surface with a smaller share of the history gets no figure of its own."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of the users that the table was drawn from, so that volumes tell of everybody."""


def daily_figures(interactions: pa.Table, items: pa.Table, *, config: FiguresConfig | None = None) -> Figures:
    """Compute the daily figures of a table of events.

    Args:
        interactions: Rows in the schema `INTERACTIONS`, history and current days together, any order.
        items: Rows in the schema `ITEMS`: categories and creators of the items. An item that is not in it counts for
            neither.
        config: Which figures are followed.

    Returns:
        One series a figure over every calendar day (UTC) from the first event to the last.

    Raises:
        DataError: There are no rows, or a required column is missing.
    """
    config = config or FiguresConfig()
    rows = encode_rows(interactions)
    day, _, count = pair_counts(rows, rows.users.codes, len(rows.users.names))
    users = np.bincount(day, minlength=len(rows.days))
    squares = np.bincount(day, weights=count**2, minlength=len(rows.days))
    surfaces = encode(rows.table[schema.SURFACE])
    names = _population.main_surfaces(
        rows,
        surfaces,
        limit=config.surfaces,
        minimum_share=config.minimum_surface_share,
        history=config.history_days,
    )
    series = [
        *_population.volume_series(rows, users.astype(np.float64), share=config.share),
        _population.new_user_series(rows, window_days=config.window_days),
        *_population.surface_series(rows, surfaces, names),
        *_columns.null_series(rows),
        *_columns.amount_series(rows),
        *_columns.rate_series(rows),
        *(_columns.sliced_series(rows, surfaces, names) if len(names) > 1 else ()),
        *_catalogue.popularity_series(rows, window_days=config.window_days),
        *_catalogue.concentration_series(rows, items),
        *_catalogue.category_series(rows, items, limit=config.categories, history=config.history_days),
    ]
    return Figures(
        days=rows.days,
        rows=rows.counts.astype(np.int64),
        users=users,
        effective_users=rows.counts**2 / np.maximum(squares, 1.0),
        series={one.key: one for one in series},
    )
