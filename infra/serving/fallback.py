"""What is answered when no model can: the most consumed items, from lists that were made when a bundle was loaded."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from recmodels.bundle import Bundle
from recmodels.data.schema import SAFETY, SAFETY_LEVELS, SURFACE
from recmodels.data.vocabulary import FIRST_ITEM
from recmodels.safety import SafetyPolicy


@dataclass(frozen=True, eq=False)
class PopularItems:
    """A catalogue in order of training interactions, without blocked items; equal counts keep the catalogue's order.

    It is simpler than a `Ranker` on purpose: it shares no step with what it stands in for.

    Attributes:
        item_ids: Raw ids, most consumed first.
        by_surface: The same for each surface that items have; items without a surface stand in all of them.
    """

    item_ids: tuple[str, ...] = ()
    by_surface: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, bundle: Bundle, safety: SafetyPolicy | None = None) -> "PopularItems":
        """Order the catalogue of a bundle.

        Args:
            bundle: Its items and their counts.
            safety: Terms under which labelled items are shown; what not everybody may see everywhere is left out.
        """
        policy = safety or SafetyPolicy()
        shown = dict(zip(SAFETY_LEVELS, policy.allowed(shows_restricted=policy.restricts_nobody), strict=True))
        counts = np.asarray(bundle.item_counts)[FIRST_ITEM:]
        order = np.argsort(-counts, kind="stable")
        allowed = np.array([shown[level] for level in bundle.items[SAFETY].to_pylist()])
        order = order[allowed[order]]
        ids = bundle.vocabulary.ids[order].tolist()
        surfaces = bundle.items[SURFACE].take(order).to_pylist()
        named = {
            name: tuple(item for item, surface in zip(ids, surfaces, strict=True) if surface in {name, None})
            for name in set(surfaces) - {None}
        }
        return cls(tuple(ids), named)

    def top(self, k: int, *, surface: str, without: Sequence[Container[str]] = ()) -> tuple[str, ...]:
        """Return the first `k` items of a surface that none of `without` holds; fewer where the catalogue ends.

        A surface that no item has leaves out nothing, as in `Ranker.recommend`.
        """
        ordered = self.by_surface.get(surface, self.item_ids)
        allowed = (item_id for item_id in ordered if not any(item_id in items for items in without))
        return tuple(islice(allowed, k))
