"""What may be shown: the bundle's items and the newcomers as one row of columns, with the filters that hold for all.

Columns 0 to V - 1 are the vocabulary's; the newcomers follow from V on. What a surface and a set of takedowns leave is
worked out once and kept, so that a request only adds it to its scores.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recmodels.bundle import Bundle
from recmodels.data.schema import SAFETY, SAFETY_LEVELS, SURFACE
from recmodels.data.vocabulary import FIRST_ITEM, UNKNOWN, Vocabulary
from recmodels.retrieval.newcomers import Newcomers
from recmodels.safety import BLOCKED, NO_LABEL, SafetyPolicy

HIDDEN = np.int32(-(2**30))
"""Whole-numbered score of what must not be shown, below every other."""

_MOST_SHELVES = 16
_ANY_SURFACE = -1


@dataclass(frozen=True, eq=False)
class Shelf:
    """What of a catalogue may be shown to anybody on one surface.

    Attributes:
        penalties: (W,) float32 to add to scores: 0 for an item that may be shown, -inf for one that may not.
    """

    penalties: NDArray[np.float32]

    @cached_property
    def ceilings(self) -> NDArray[np.int32]:
        """(W,) most that a whole-numbered score may be: `HIDDEN` for an item that may not be shown."""
        return np.where(self.penalties == 0, np.iinfo(np.int32).max, HIDDEN).astype(np.int32)

    @cached_property
    def hidden(self) -> NDArray[np.intp]:
        """Columns of the items that may not be shown, in ascending order."""
        return np.flatnonzero(self.penalties != 0)

    @cached_property
    def share(self) -> float:
        """Of the items that may be shown."""
        return float(np.mean(self.penalties[FIRST_ITEM:] == 0)) if len(self.penalties) > FIRST_ITEM else 0.0


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items of a bundle, and newcomers if there are any, as W columns.

    Attributes:
        vocabulary: Of the bundle; V entries.
        newcomers: The items of the columns from V on; None for none.
        labels: (W,) int8 number of each item's safety label, see `recmodels.safety`; the two special entries count as
            blocked.
        surface_of: (W,) int32 number of each item's surface, -1 for an item that belongs to all.
        surfaces: Number of each surface that some item has.
        policy: Terms under which labelled items are shown.
    """

    vocabulary: Vocabulary
    newcomers: Newcomers | None
    labels: NDArray[np.int8]
    surface_of: NDArray[np.int32]
    surfaces: dict[str, int]
    policy: SafetyPolicy
    _shelves: dict[tuple[str | None, frozenset[str], bool], Shelf] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, bundle: Bundle, policy: SafetyPolicy | None = None) -> "Catalogue":
        """Return the bundle's own items."""
        surfaces: dict[str, int] = {}
        surface_of = np.full(bundle.vocabulary.size, _ANY_SURFACE, dtype=np.int32)
        surface_of[FIRST_ITEM:] = _numbered(bundle.items, surfaces)
        labels = np.concatenate([np.full(FIRST_ITEM, BLOCKED, np.int8), _labels(bundle.items)])
        return cls(bundle.vocabulary, None, labels, surface_of, surfaces, policy or SafetyPolicy())

    def joined_by(self, newcomers: Newcomers) -> "Catalogue":
        """Return this catalogue with newcomers after its own items."""
        surfaces = dict(self.surfaces)
        surface_of = np.concatenate([self.surface_of, _numbered(newcomers.items, surfaces)])
        labels = np.concatenate([self.labels, _labels(newcomers.items)])
        return replace(self, newcomers=newcomers, labels=labels, surface_of=surface_of, surfaces=surfaces, _shelves={})

    @property
    def size(self) -> int:
        """W: columns, the two special ones included."""
        return len(self.labels)

    def encode(self, item_ids: Sequence[str]) -> NDArray[np.int32]:
        """Return the column of each id; an unknown id becomes 1."""
        columns = self.vocabulary.encode(list(item_ids))
        if self.newcomers is not None and len(self.newcomers):
            new = self.newcomers.index_of
            for place in np.flatnonzero(columns == UNKNOWN).tolist():  # few: what a request names and no model knows
                number = new.get(item_ids[place])
                if number is not None:
                    columns[place] = self.vocabulary.size + number
        return columns

    def decode(self, columns: NDArray[np.integer]) -> list[str]:
        """Return the raw id of each column."""
        size = self.vocabulary.size
        if self.newcomers is None or (columns < size).all():
            return [*self.vocabulary.decode(columns).tolist()]
        own = self.vocabulary.decode(np.minimum(columns, size - 1))
        new = self.newcomers.item_ids[np.maximum(columns - size, 0)]
        return [*np.where(columns < size, own, new).tolist()]

    def fits(self, surface: str | None) -> NDArray[np.bool_]:
        """Return which columns a surface shows, (W,); all where no item has that surface."""
        number = None if surface is None else self.surfaces.get(surface)
        if number is None:
            return np.ones(self.size, dtype=np.bool_)
        fits: NDArray[np.bool_] = (self.surface_of == number) | (self.surface_of == _ANY_SURFACE)
        return fits

    def safe_for(self, surface: str | None, age: float | None) -> NDArray[np.bool_]:
        """Return which columns the safety labels allow somebody of an age on a surface, (W,)."""
        return self._safe(shows_restricted=self.policy.shows_restricted(surface, age))

    def shelf(self, surface: str | None, blocked: Collection[str], age: float | None = None) -> Shelf:
        """Return what may be shown on a surface.

        Args:
            surface: None for every surface.
            blocked: Ids taken down; a frozenset that is given again costs nothing.
            age: Years of who asks; None where that is not known.
        """
        taken_down = blocked if isinstance(blocked, frozenset) else frozenset(blocked)
        shows_restricted = self.policy.shows_restricted(surface, age)
        key = (surface if surface in self.surfaces else None, taken_down, shows_restricted)
        shelf = self._shelves.get(key)
        if shelf is None:
            may_show = self._safe(shows_restricted=shows_restricted) & self.fits(surface)
            may_show[self.encode(list(taken_down))] = False
            shelf = Shelf(np.where(may_show, np.float32(0), np.float32(-np.inf)))
            if len(self._shelves) >= _MOST_SHELVES:
                self._shelves.clear()
            self._shelves[key] = shelf
        return shelf

    def _safe(self, *, shows_restricted: bool) -> NDArray[np.bool_]:
        is_safe: NDArray[np.bool_] = np.array(self.policy.allowed(shows_restricted=shows_restricted))[self.labels]
        return is_safe


def _labels(items: pa.Table) -> NDArray[np.int8]:
    """Return the number of each item's safety label; one that is missing or not known counts as no label."""
    numbers = pc.index_in(items[SAFETY], value_set=pa.array(SAFETY_LEVELS, pa.string()))
    labels: NDArray[np.int8] = pc.fill_null(numbers, NO_LABEL).to_numpy().astype(np.int8)
    return labels


def _numbered(items: pa.Table, surfaces: dict[str, int]) -> NDArray[np.int32]:
    """Return the number of each item's surface, -1 for none; surfaces that are new get the next numbers."""
    for surface in pc.unique(items[SURFACE].drop_null()).to_pylist():
        surfaces.setdefault(surface, len(surfaces))
    numbers = pc.index_in(items[SURFACE], value_set=pa.array(list(surfaces), pa.string()), skip_nulls=True)
    numbered: NDArray[np.int32] = pc.fill_null(numbers, _ANY_SURFACE).to_numpy().astype(np.int32)
    return numbered
