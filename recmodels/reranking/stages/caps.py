"""Caps: no more than so many items of one creator, or of one main category, among neighbours."""

from pydantic import Field

from recmodels.reranking.contract import StageConfig, led_by
from recmodels.reranking.pool import Draft, Pool

_MISSING = -1


class Stage:
    """Fills each place with the first item that no cap forbids."""

    class Config(StageConfig):
        """The caps; an item without a creator or a category is under none."""

        creator: int = Field(2, ge=0)
        """Most items of one creator among `window` neighbours; 0 for no cap."""
        category: int = Field(0, ge=0)
        """Most items of one main category among `window` neighbours; 0 for no cap."""
        window: int = Field(10, ge=2, le=200)
        """Neighbouring places that the caps hold for, wherever they begin."""
        is_strict: bool = False
        """Rather answer a shorter list than break a cap; else a place that no allowed item is left for takes the best
        of the others."""

    def __init__(self, config: "Stage.Config") -> None:
        self._config = config

    def rerank(self, pool: Pool, draft: Draft, k: int) -> Draft:
        """Return the draft with k items chosen."""
        config, order = self._config, draft.order
        columns = pool.columns[order]
        capped = []
        if config.creator:
            capped.append((config.creator, pool.facts.creators[columns].tolist()))
        if config.category:
            capped.append((config.category, pool.facts.categories[columns, 0].tolist()))
        chosen = _filled(capped, len(order), count=min(k, len(order)), window=config.window, is_strict=config.is_strict)
        positions = order[chosen]
        if config.is_strict and len(chosen) < k:
            return Draft(positions, draft.values)
        return led_by(draft, positions.tolist())


def _filled(capped: list[tuple[int, list[int]]], size: int, *, count: int, window: int, is_strict: bool) -> list[int]:
    """Return which of `size` items come first, as numbers of the order given.

    Args:
        capped: Of each cap its most items, and the label of every item.
        size: Items.
        count: How many are wanted, at most `size`.
        window: Neighbours.
        is_strict: Stop where no item is allowed.
    """
    waiting, chosen = list(range(size)), list[int]()
    caps = [(most, labels, dict.fromkeys(labels, 0)) for most, labels in capped]
    while len(chosen) < count:
        place = _first_allowed(waiting, caps)
        if place < 0:
            if is_strict:
                break
            place = 0
        item = waiting.pop(place)
        chosen.append(item)
        leaves = chosen[-window] if len(chosen) >= window else -1
        for _, labels, counts in caps:
            counts[labels[item]] += 1
            if leaves >= 0:
                counts[labels[leaves]] -= 1
    return chosen


def _first_allowed(waiting: list[int], caps: list[tuple[int, list[int], dict[int, int]]]) -> int:
    for place, item in enumerate(waiting):
        for most, labels, counts in caps:
            if counts[labels[item]] >= most and labels[item] != _MISSING:
                break
        else:
            return place
    return -1
