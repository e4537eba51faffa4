"""Where a split cuts: two moments for everybody, or the last two events of each user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.data.events import Events
from recmodels.data.interactions import as_utc
from recmodels.data.schema import ORIGIN, ORIGIN_REPLAY, TIMESTAMP
from recmodels.errors import SplitError

if TYPE_CHECKING:  # a recipe names the model plug-ins, whose modules import this package
    from recmodels.recipe import SplitConfig

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Parts of a split, in the order of time."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LEAVE_ONE_OUT_EVENTS = 3


@dataclass(frozen=True)
class Bounds:
    """First moments after the training, validation and test parts, in microseconds."""

    train: int
    validation: int
    test: int


def moments_of(interactions: pa.Table, split: SplitConfig) -> Bounds:
    """Find the two moments of a time split.

    A share counts all interactions but replayed ones; the moment is that of the first interaction after it, so equal
    timestamps fall into the later part.
    """
    chosen = interactions.filter(pc.not_equal(interactions[ORIGIN], ORIGIN_REPLAY))
    moments = np.sort(chosen[TIMESTAMP].cast(pa.int64()).to_numpy())
    end = int(moments[-1]) + 1
    if split.validation_from is not None and split.test_from is not None:
        return Bounds(as_microseconds(split.validation_from), as_microseconds(split.test_from), end)
    count = len(moments)
    first_test = min(round(count * (1 - split.test_fraction)), count - 1)
    first_validation = min(round(count * (1 - split.test_fraction - split.validation_fraction)), count - 1)
    return Bounds(int(moments[first_validation]), int(moments[first_test]), end)


def as_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970; a moment without a zone is UTC."""
    return (as_utc(moment) - _EPOCH) // _MICROSECOND


def as_moment(microseconds: int) -> datetime:
    """Return the UTC moment so many microseconds after 1970."""
    return _EPOCH + microseconds * _MICROSECOND


def parts_by_time(events: Events, bounds: Bounds) -> NDArray[np.int8]:
    """Return the part of each event, ``(E,)``: an event at a cut belongs to the later part."""
    cuts = np.array([bounds.train, bounds.validation])
    return np.searchsorted(cuts, events.timestamps, side="right").astype(np.int8)


def parts_by_position(events: Events) -> NDArray[np.int8]:
    """Return the part of each event, ``(E,)``, for leave-one-out: users of fewer than three events only train."""
    parts = np.full(len(events), TRAIN, dtype=np.int8)
    ends = events.user_starts[1:][np.diff(events.user_starts) >= _LEAVE_ONE_OUT_EVENTS]
    parts[ends - 1] = TEST
    parts[ends - 2] = VALIDATION
    return parts


def bounds_of_parts(events: Events, parts: NDArray[np.int8]) -> Bounds:
    """Leave-one-out has no common moment: a part ends when the last of its events has happened."""
    latest = [int(events.timestamps[parts <= part].max(initial=0)) + 1 for part in (TRAIN, VALIDATION, TEST)]
    return Bounds(*latest)


def check_parts(parts: NDArray[np.int8], bounds: Bounds, events: Events, split: SplitConfig) -> None:
    """Refuse a split with an empty part.

    Raises:
        SplitError: A part has no positive event; the message gives counts and dates.
    """
    counts = np.bincount(parts, minlength=3).tolist()
    if all(counts):
        return
    first, last = as_moment(int(events.timestamps.min())), as_moment(int(events.timestamps.max()))
    sizes = f"{counts[TRAIN]} training, {counts[VALIDATION]} validation and {counts[TEST]} test interactions"
    if split.kind == "leave_one_out":
        raise SplitError(
            f"split 'leave_one_out' leaves {sizes} of {len(events)} positive ones by {len(events.user_ids)} users: "
            f"no user has {_LEAVE_ONE_OUT_EVENTS}. Use a label that more interactions meet, or more data."
        )
    raise SplitError(
        f"split 'time' leaves {sizes} of {len(events)} positive ones: validation from {as_moment(bounds.train)}, "
        f"test from {as_moment(bounds.validation)}, data from {first} to {last}. "
        f"Choose moments inside the data (split.validation_from, split.test_from) or other fractions."
    )
