"""What a daily figure is, and the scale on which its day-to-day noise has the same size on every day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Scale(StrEnum):
    """How a figure is transformed before it is judged."""

    LEVEL = "level"
    """A mean, a quantile of a symmetric column, a distance: judged as it is."""
    AMOUNT = "amount"
    """A count or a positive amount: judged as its logarithm, so that a change is relative."""
    SHARE = "share"
    """A part of the rows: judged as Anscombe's arcsine, whose noise does not depend on the share."""


@dataclass(frozen=True)
class Series:
    """One figure, day by day.

    Attributes:
        name: Name of the figure, such as ``"rating_mean"``.
        family: What incidents are grouped by; see `monitoring.result.CheckResult`.
        scale: How it is transformed before it is judged.
        values: (D,) in natural units; NaN where the day has nothing to compute it from.
        rows: (D,) rows that each value was computed from.
        errors: (D,) sampling error of each value if rows were independent, in natural units; used as a floor of the
            spread, and for `Scale.SHARE` derived from `rows`, so left empty there.
        slice: The part of the data, such as ``"surface=live"``; empty for all.
        about: What the figure is, in words, for messages.
        is_volume: It counts rows: judged on days with few rows, too, and its noise does not shrink with more users.
        units: (D,) independent units behind each value; None: the day's effective users.
        memory_days: Days before its own that a value also tells of.
    """

    name: str
    family: str
    scale: Scale
    values: Array
    rows: Array
    errors: Array | None = None
    slice: str = ""
    about: str = ""
    is_volume: bool = False
    units: Array | None = None
    memory_days: int = 0

    @property
    def key(self) -> str:
        """Name and slice, unique within one `Figures`."""
        return f"{self.name}[{self.slice}]" if self.slice else self.name

    def scaled(self) -> Array:
        """Return the values on the scale they are judged on, (D,)."""
        if self.scale is Scale.LEVEL:
            return self.values
        if self.scale is Scale.AMOUNT:
            return np.log(np.maximum(self.values, 0.0) + (0.5 if self.is_volume else 1e-9))
        return np.arcsin(np.sqrt((self.values * self.rows + 0.375) / (self.rows + 0.75)))

    def unscaled(self, value: float) -> float:
        """Return a value of the judged scale in natural units."""
        if self.scale is Scale.LEVEL:
            return value
        if self.scale is Scale.AMOUNT:
            return float(np.exp(value))
        return float(np.sin(np.clip(value, 0.0, np.pi / 2)) ** 2)

    def floor(self) -> Array:
        """Return the least spread that independent rows allow on the judged scale, (D,)."""
        rows = np.maximum(self.rows, 1.0)
        if self.scale is Scale.SHARE:
            return 0.5 / np.sqrt(rows)
        if self.is_volume:
            return 1.0 / np.sqrt(rows)
        errors = np.zeros_like(self.values) if self.errors is None else np.nan_to_num(self.errors)
        if self.scale is Scale.AMOUNT:
            return errors / np.maximum(np.abs(np.nan_to_num(self.values)), 1e-9)
        return errors


@dataclass(frozen=True)
class Figures:
    """Daily figures of one table.

    Attributes:
        days: (D,) datetime64[D], every calendar day from the first to the last, days without rows included.
        rows: (D,) rows of each day.
        users: (D,) distinct users of each day.
        effective_users: (D,) how many users with equally many rows would be as independent as the day's users are:
            (sum n)^2 / sum n^2 over users with n rows (Kish). A day that one user fills says little.
        series: The figures by `Series.key`.
    """

    days: NDArray[np.datetime64]
    rows: NDArray[np.int64]
    users: NDArray[np.int64]
    effective_users: Array
    series: Mapping[str, Series] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Array]:
        """The values by key, (D,) each; NaN where not computable."""
        return {key: series.values for key, series in self.series.items()}
