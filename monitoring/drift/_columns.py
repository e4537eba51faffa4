"""Figures of single columns: nulls, means, quantiles and rates, over all rows and by surface."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitoring.drift._rows import Coded, Rows, divide, numbers
from monitoring.drift.series import Array, Scale, Series
from recmodels.data import schema

AMOUNTS = (schema.RATING, schema.WATCH_SECONDS)
"""Measured columns whose distribution is followed."""

_QUANTILES = (0.1, 0.5, 0.9)


def null_series(rows: Rows) -> Iterator[Series]:
    """Yield the share of nulls of every nullable column that the data set has."""
    counts = rows.counts
    followed = [*AMOUNTS, schema.DURATION_SECONDS, *schema.FEEDBACK_COLUMNS, schema.EXPOSED_AT]
    for column in followed:
        if rows.present(column):
            nulls = rows.by_day(rows.table[column].is_null().to_numpy())
            yield Series(
                f"{column}_null_share",
                "data",
                Scale.SHARE,
                divide(nulls, counts),
                counts,
                about=f"share of rows without {column}",
            )


def amount_series(rows: Rows) -> Iterator[Series]:
    """Yield mean and quantiles of the measured columns; watch time, which is skewed, on the logarithm."""
    for column in AMOUNTS:
        if not rows.present(column):
            continue
        values = numbers(rows.table[column])
        keep = np.isfinite(values)
        scale = Scale.LEVEL if column == schema.RATING else Scale.AMOUNT
        yield mean_of(rows, values, keep, name=f"{column}_mean", scale=scale, about=f"mean {column}")
        if column == schema.WATCH_SECONDS:
            for q in _QUANTILES:
                name = f"{column}_p{round(q * 100)}"
                yield _quantile(rows, values, keep, q=q, name=name, about=f"{column}, {round(q * 100)} % quantile")
        else:
            yield spread_of(rows, values, keep, name=f"{column}_deviation", about=f"standard deviation of {column}")


def rate_series(rows: Rows) -> Iterator[Series]:
    """Yield the rate of every feedback column that the data set has, among the rows where it is known."""
    for column in schema.FEEDBACK_COLUMNS:
        if rows.present(column):
            values = numbers(rows.table[column])
            yield rate_of(rows, values, np.isfinite(values), name=f"{column}_rate", about=f"share of rows {column}")


def sliced_series(rows: Rows, surfaces: Coded, names: list[str]) -> Iterator[Series]:
    """Yield mean amounts and feedback rates of each of the surfaces `names`."""
    for surface in names:
        inside = surfaces.codes == int(np.flatnonzero(surfaces.names == surface)[0])
        for column in (*AMOUNTS, *schema.FEEDBACK_COLUMNS):
            if not rows.present(column):
                continue
            values = numbers(rows.table[column])
            keep = inside & np.isfinite(values)
            label = f"surface={surface}"
            if column in AMOUNTS:
                scale = Scale.LEVEL if column == schema.RATING else Scale.AMOUNT
                yield mean_of(
                    rows, values, keep, name=f"{column}_mean", scale=scale, about=f"mean {column}", part=label
                )
            else:
                yield rate_of(rows, values, keep, name=f"{column}_rate", about=f"share of rows {column}", part=label)


def mean_of(
    rows: Rows, values: Array, keep: NDArray[np.bool_], *, name: str, scale: Scale, about: str, part: str = ""
) -> Series:
    """Return the daily mean of the rows in `keep`."""
    count, mean, variance = _moments(rows, values, keep)
    errors = np.sqrt(divide(variance, count))
    return Series(name, "data", scale, mean, count, errors, slice=part, about=about)


def spread_of(rows: Rows, values: Array, keep: NDArray[np.bool_], *, name: str, about: str) -> Series:
    """Return the daily standard deviation of the rows in `keep`."""
    count, _, variance = _moments(rows, values, keep)
    deviation = np.sqrt(variance)
    return Series(name, "data", Scale.LEVEL, deviation, count, divide(deviation, np.sqrt(2 * count)), about=about)


def _moments(rows: Rows, values: Array, keep: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    filled = np.where(keep, values, 0.0)
    count = rows.by_day(keep)
    mean = divide(rows.by_day(filled), count)
    centred = np.where(keep, values - np.nan_to_num(mean)[rows.day], 0.0)
    return count, mean, divide(rows.by_day(centred**2), count)


def rate_of(rows: Rows, values: Array, keep: NDArray[np.bool_], *, name: str, about: str, part: str = "") -> Series:
    """Return the daily share of ones among the rows in `keep`."""
    count = rows.by_day(keep)
    hits = rows.by_day(np.where(keep, values, 0.0))
    return Series(name, "population", Scale.SHARE, divide(hits, count), count, slice=part, about=about)


def _quantile(rows: Rows, values: Array, keep: NDArray[np.bool_], *, q: float, name: str, about: str) -> Series:
    day, kept = rows.day[keep], values[keep]
    ordered = kept[np.lexsort((kept, day))]
    count = np.bincount(day, minlength=len(rows.days))
    starts = np.cumsum(count) - count
    filled = count > 0
    result = np.full(len(rows.days), np.nan)
    result[filled] = ordered[(starts + np.floor(q * np.maximum(count - 1, 0)).astype(np.int64))[filled]]
    return Series(name, "data", Scale.AMOUNT, result, count.astype(np.float64), about=about)
