"""Local hours, days and weekdays of moments, wherever they come from."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recmodels.ranking.columns import DAY_MICROSECONDS

_HOUR: Final = DAY_MICROSECONDS // 24
_THURSDAY: Final = 3
"""Weekday of 1970-01-01; Monday is 0."""


def local_days(timestamps: NDArray[np.int64], *, utc_offset_hours: int) -> NDArray[np.int32]:
    """Return the local day of each moment, in days since 1970."""
    return ((timestamps + utc_offset_hours * _HOUR) // DAY_MICROSECONDS).astype(np.int32)


def local_hours(timestamps: NDArray[np.int64], *, utc_offset_hours: int) -> NDArray[np.int32]:
    """Return the local hour of each moment, 0 to 23."""
    return ((timestamps // _HOUR + utc_offset_hours) % 24).astype(np.int32)


def weekdays(days: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the weekday of each day since 1970; 0 is Monday."""
    return (days + _THURSDAY) % 7
